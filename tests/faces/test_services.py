"""Services are written as units where systemd runs, as an init script elsewhere, and taken away."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from msgspec import structs

from holdfast.faces.cli import services
from holdfast.faces.cli.exits import Failure
from holdfast.faces.cli.services import Machine
from holdfast.facts.settings import ControllerPlace, Settings
from holdfast.ports.priority import AHEAD

UNITS = ("agent", "controller", "host-stops", "pulse", "store")
ONE = ControllerPlace(name="h1", address="10.0.0.1")


class Place:
    """A machine in a folder, with programs that note how they were called."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, has_systemd: bool) -> None:
        self.folder = folder
        self.on = Machine(
            units=folder / "units",
            init_script=folder / "init.d" / "holdfast",
            systemd=folder / "systemd",
            hooks=folder / "libvirt" / "hooks",
        )
        if has_systemd:
            self.on.systemd.mkdir()
        programs = folder / "bin"
        programs.mkdir()
        for name in ("systemctl", "update-rc.d", "etcd"):
            program = programs / name
            program.write_text(f'#!/bin/sh\necho "{name} $*" >>{folder}/calls\n')
            program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        (folder / "calls").touch()
        self.config = str(folder / "etc" / "holdfast.toml")
        self.said: list[str] = []

    def settings(self, **fields: object) -> Settings:
        folders = {name: str(self.folder / name) for name in ("state_dir", "run_dir", "cache_dir")}
        return Settings(**{**folders, "controllers": (ONE,), **fields})  # type: ignore[arg-type]

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()

    def install(self, host: str = "h1", **fields: object) -> None:
        services.install(self.settings(**fields), self.config, host, self.said.append, self.on)


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch, has_systemd=True)


def test_a_controller_of_three_gets_all_units(systemd: Place) -> None:
    systemd.install(store="etcd")
    names = [f"holdfast-{name}.service" for name in UNITS]
    assert sorted(path.name for path in systemd.on.units.iterdir()) == [*names, "holdfast.target"]
    assert systemd.calls[0] == "systemctl daemon-reload"
    assert systemd.calls[1].startswith("systemctl enable --quiet holdfast-pulse.service")
    assert systemd.calls[2].startswith("systemctl restart holdfast-pulse.service")
    assert systemd.calls[3] == "systemctl start holdfast.target"
    assert "@" not in "".join(path.read_text() for path in systemd.on.units.iterdir())


def private_tmp(
    python: str = "/opt/python", code: str = "/opt/h.py", state_dir: str = "/var/lib/h"
) -> str:
    on, settings = Machine(python=python, code=Path(code)), Settings(state_dir=state_dir)
    return services._words(settings, "/etc/h/h.toml", on)["PRIVATE_TMP"]


def test_what_lies_in_a_folder_for_temporary_files_is_not_hidden_from_its_service(
    systemd: Place,
) -> None:
    """A private /tmp is empty: systemd would say 203/EXEC for ever."""
    shutil.rmtree(systemd.folder / "bin")  # The etcd in it would count.
    assert private_tmp() == "yes"
    assert private_tmp(python="/tmp/h/.venv/bin/python") == "no"
    assert private_tmp(code="/var/tmp/h/services.py") == "no"
    assert private_tmp(state_dir="/var/tmp/state") == "no"
    (systemd.folder / "hidden").symlink_to("/var/tmp/h")
    assert private_tmp(python=f"{systemd.folder}/hidden/python") == "no"


def test_the_units_leave_a_private_tmp_out_where_the_program_lies_there(systemd: Place) -> None:
    systemd.on = structs.replace(systemd.on, python="/tmp/h/.venv/bin/python")
    systemd.install(store="etcd")
    for name in ("pulse", "store"):
        text = (systemd.on.units / f"holdfast-{name}.service").read_text()
        assert "\nPrivateTmp=no\n" in text


def test_a_host_gets_no_controller(systemd: Place) -> None:
    systemd.install("h4")
    assert sorted(path.stem for path in systemd.on.units.iterdir()) == [
        "holdfast",
        "holdfast-agent",
        "holdfast-host-stops",
        "holdfast-pulse",
    ]


def test_removing_stops_first_and_leaves_nothing(systemd: Place) -> None:
    systemd.install("h4")
    stranger = systemd.on.units / "cron.service"
    stranger.touch()
    services.remove(systemd.said.append, systemd.on)
    assert list(systemd.on.units.iterdir()) == [stranger]
    last = [call.split()[1] for call in systemd.calls[-3:]]
    assert last == ["disable", "stop", "daemon-reload"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze here")
def test_systemd_finds_nothing_wrong_with_the_units(systemd: Place) -> None:
    systemd.install(store="etcd")
    said = verify(systemd.on.units)
    assert "holdfast" not in said, said
    unit = systemd.on.units / "holdfast-pulse.service"
    unit.write_text(unit.read_text().replace("Restart=always", "Restart=sometimes"))
    assert "sometimes" in verify(systemd.on.units)


def verify(units: Path) -> str:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(units.glob("holdfast-*")))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"},
    )
    ours = [line for line in done.stderr.splitlines() if "holdfast" in line]
    return "\n".join(ours)


def test_the_agent_ends_before_the_service_that_ends_all_guests(systemd: Place) -> None:
    """Else each guest's end would be taken for a wish that it stays stopped."""
    systemd.install()
    agent = (systemd.on.units / "holdfast-agent.service").read_text()
    assert "\nAfter=libvirt-guests.service\n" in agent, "systemd stops in the opposite order"


def test_the_store_runs_before_the_guests(systemd: Place) -> None:
    """Without systemd `supervise` sees to that; our own programs see to it themselves."""
    systemd.install(store="etcd")
    store = (systemd.on.units / "holdfast-store.service").read_text()
    assert f"\nNice={AHEAD}\n" in store


def test_the_pulse_is_first_to_start_and_last_to_end(tmp_path: Path) -> None:
    settings = Settings(controllers=(ONE,), store="etcd")
    etcd = shutil.which("etcd")
    if etcd is None:
        with pytest.raises(Failure, match="needs etcd"):
            services.services_of(settings, "/x/holdfast.toml", "h1")
        return
    found = services.services_of(settings, "/x/holdfast.toml", "h1")
    assert [one.name for one in found] == ["pulse", "store", "controller", "agent"]
    assert found[1].argv == (etcd, "--config-file", "/x/store.yaml")
    assert "--config" in found[0].argv
    assert [one.comes_first for one in found] == [False, True, False, False]


def test_without_systemd_an_init_script_starts_at_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path, monkeypatch, has_systemd=False)
    # The script would start a supervisor: here its program only notes that.
    program = tmp_path / "bin" / "python"
    program.write_text(f'#!/bin/sh\necho "holdfast $*" >>{tmp_path}/calls\n')
    program.chmod(0o755)
    place.on = structs.replace(place.on, python=str(program))
    place.install("h4")
    assert place.on.init_script.stat().st_mode & 0o777 == 0o755
    assert place.calls[0] == "update-rc.d holdfast defaults"
    assert [call.split()[-2:] for call in place.calls[1:]] == [
        ["supervise", "--stop"],
        ["supervise", "--detach"],
    ]
    (tmp_path / "run_dir").mkdir(exist_ok=True)
    subprocess.run([place.on.init_script, "stop"], env={"RUNLEVEL": "0"}, timeout=20, check=True)
    assert (tmp_path / "run_dir" / "host-stops").exists()
    services.remove(place.said.append, place.on)
    assert not place.on.init_script.exists()
    assert place.calls[-1] == "update-rc.d holdfast remove"


def test_what_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path, monkeypatch, has_systemd=True)
    (tmp_path / "bin" / "systemctl").write_text("#!/bin/sh\necho no bus; exit 1\n")
    with pytest.raises(Failure, match="daemon-reload` failed: no bus"):
        place.install("h4")
