"""The settings file keeps what a person wrote; only what is between our marks is ours."""

from pathlib import Path

import pytest

from holdfast.adapters.drivers.site_file import BEGIN, SiteFileWrong, remove_site, write_site
from holdfast.facts.membership import SitePlan
from holdfast.facts.settings import ControllerPlace
from holdfast.facts.settings_reader import read_settings

H1 = ControllerPlace(name="h1", address="10.0.0.1", planes={"a": "10.0.0.1", "b": "10.0.1.1"})
H2 = ControllerPlace(name="h-2.x", address="fd00::2", planes={"a": "fd00::2"})
PLAN = SitePlan(
    controllers=(H1, H2),
    planes=("a", "b"),
    store="etcd",
    etcd_endpoints=("https://10.0.0.1:2379", "https://[fd00::2]:2379"),
    api_port=8310,
)
OWN = {"a": "10.0.0.4", "b": "10.0.1.4"}
PERSON = """# Ours, by Anna.
[webhook.noc]
url = "https://noc.example.org/alarms"  # ask Bert

[host]
rack = "r1"
"""


def write(path: Path, plan: SitePlan = PLAN, name: str = "") -> bool:
    return write_site(path, plan, OWN, host_name=name, tls_dir="/etc/holdfast/tls")


def test_what_is_written_is_read_as_it_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "holdfast.toml"
    assert write(path, name="h4")
    settings = read_settings(path.read_text(), str(path))
    assert settings.controllers == (H1, H2)
    assert {plane.name: plane.address for plane in settings.planes} == OWN
    assert (settings.store, settings.api_port, settings.host_name) == ("etcd", 8310, "h4")
    assert settings.etcd_endpoints == PLAN.etcd_endpoints
    assert settings.tls_dir == "/etc/holdfast/tls"


def test_a_persons_lines_stay_and_are_there_alone_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "holdfast.toml"
    path.write_text(PERSON)
    path.chmod(0o640)
    assert write(path)
    assert path.read_text().startswith(PERSON)
    assert path.stat().st_mode & 0o777 == 0o640
    assert read_settings(path.read_text(), str(path)).rack == "r1"
    assert remove_site(path)
    assert path.read_text() == PERSON


def test_writing_the_same_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "holdfast.toml"
    path.write_text(PERSON)
    write(path)
    text = path.read_text()
    assert not write(path)
    path.write_text(text + '\n[exec.mail]\ncommand = ["/bin/true"]\n')  # Below our part, too.
    write(path)
    assert path.read_text().count(BEGIN) == 1
    assert read_settings(path.read_text(), str(path)).execs[0].name == "mail"


def test_a_plane_that_a_person_wrote_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "holdfast.toml"
    path.write_text('[plane.a]\naddress = "10.9.9.9"\n')
    write(path)
    planes = {p.name: p.address for p in read_settings(path.read_text(), str(path)).planes}
    assert planes == {"a": "10.9.9.9", "b": "10.0.1.4"}


def test_a_site_table_of_before_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "holdfast.toml"
    path.write_text('[site]\napi_port = 9999\n\n[host]\nrack = "r1"\n')
    write(path)
    settings = read_settings(path.read_text(), str(path))
    assert (settings.api_port, settings.rack) == (8310, "r1")


def test_nothing_of_a_person_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "holdfast.toml"
    write(path)
    assert not remove_site(path)
    assert not path.exists()


def test_a_file_with_a_mistake_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "holdfast.toml"
    path.write_text("[webhook\n")
    with pytest.raises(SiteFileWrong, match="holdfast config check"):
        write(path)
    assert path.read_text() == "[webhook\n"
