"""Bad days of a site's members: tokens, certificates, clones, leaving, growing."""

import os
import shutil
from collections.abc import Iterator

import pytest

from holdfast.adapters.drivers.authority import Authority, Subject, make_request
from holdfast.adapters.drivers.certificates import Certificates, write_private
from holdfast.lab.commands import LabError
from holdfast.lab.hosts import Host, Lab
from holdfast.ports.priority import AHEAD
from tests.lab import site
from tests.lab.site import holdfast, names, refused

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """h1 is the one controller, h2 belongs to its site; h3 to h5 are bare."""
    lab = Lab.up(5, name=f"site-days-{os.getpid()}")
    try:
        site.init(lab)
        site.join(lab, lab.host("h2"))
        yield lab
    finally:
        lab.down()


@pytest.fixture
def first(lab: Lab) -> Host:
    return lab.host("h1")


def is_linked(first: Host, name: str) -> bool:
    rows = site.ask(first, "host", "list")["hosts"]
    return any(row["host_name"] == name and row["is_up"] for row in rows)


def test_the_programs_of_a_host_weigh_more_than_its_guests(first: Host) -> None:
    pid = first.path("/run/holdfast/supervise.pid").read_text().strip()
    try:
        weight = first.run(["cat", f"/proc/{pid}/autogroup"]).stdout
    except LabError:
        pytest.skip("this kernel weighs no sessions")
    assert weight.split()[-1] == str(AHEAD)


def test_a_token_that_was_used_is_refused_and_leaves_nothing(lab: Lab, first: Host) -> None:
    token = site.token(lab)
    host = lab.host("h3")
    holdfast(host, "join", first.address, "--token", token)
    said = refused(lab.host("h4"), "join", first.address, "--token", token)
    assert "was used already, by h3: each serves once" in said
    assert "holdfast ca token new" in said
    assert not lab.host("h4").path("/etc/holdfast/tls/host.crt").exists()
    assert not lab.host("h4").path("/etc/init.d/holdfast").exists()
    assert "belongs to a site already" in refused(host, "join", first.address, "--token", token)
    holdfast(host, "leave", "--yes")
    assert names(first) == {"h1", "h2"}


def test_a_token_of_another_site_and_no_controller_in_reach(lab: Lab, first: Host) -> None:
    token = site.token(lab)
    other = token.rpartition(".")[0] + "." + "0" * 64
    bare = lab.host("h4")
    assert "of another site than this token" in refused(
        bare, "join", first.address, "--token", other
    )
    said = refused(bare, "join", lab.host("h2").address, "--token", token)
    assert "nothing listens at the controller at 10.77.0.2:7310" in said
    assert "does a controller run there?" in said
    assert "this is no whole token" in refused(bare, "join", first.address, "--token", "x.y")


def test_a_revoked_host_is_put_out_while_it_is_linked(lab: Lab, first: Host) -> None:
    host = lab.host("h3")
    site.join(lab, host)
    site.wait_until(lambda: is_linked(first, "h3"), "h3 is linked")
    holdfast(first, "ca", "certificate", "revoke", "h3", "--reason", "sold")
    site.wait_until(lambda: names(first) == {"h1", "h2"}, "h3 is forgotten")
    assert "revoked" in refused(host, "ca", "renew")
    site.wait_well(first)
    holdfast(host, "leave", "--alone", "--yes")


def test_swapped_certificates_open_nothing(lab: Lab, first: Host) -> None:
    a, b = lab.host("h3"), lab.host("h4")
    site.join(lab, a)
    site.join(lab, b)
    folders = [host.path("/etc/holdfast/tls") for host in (a, b)]
    for name in ("host.crt", "host.key"):
        texts = [(folder / name).read_text() for folder in folders]
        for folder, text in zip(folders, reversed(texts), strict=True):
            (folder / name).write_text(text)
    for host in (a, b):
        host.run(["/etc/init.d/holdfast", "restart", "agent"])
    log = a.path("/var/log/holdfast/agent.log")
    site.wait_until(lambda: log.exists() and "swapped" in log.read_text(), "the agent says why")
    assert not is_linked(first, "h3")
    assert not is_linked(first, "h4")
    for host in (a, b):  # As the words say: leave, and join anew.
        holdfast(host, "leave", "--alone", "--yes")
        name = host.name
        holdfast(first, "ca", "certificate", "revoke", name, "--reason", "swapped")
    site.wait_until(lambda: names(first) == {"h1", "h2"}, "both are forgotten")


def test_a_cloned_host_does_not_join(lab: Lab, first: Host) -> None:
    clone = lab.host("h5")
    kept = lab.host("h2").path("/var/lib/holdfast/host-id")
    place = clone.path("/var/lib/holdfast/host-id")
    shutil.copy(kept, place)
    said = refused(clone, "join", first.address, "--token", site.token(lab))
    assert "this host's identity is that of h2: was its disk copied?" in said
    holdfast(clone, "leave", "--alone", "--yes")
    site.join(lab, clone)
    assert names(first) == {"h1", "h2", "h5"}
    holdfast(clone, "leave", "--yes")


def sign_anew(first: Host, host: Host, valid_s: int) -> None:
    """Give a host a certificate that ends sooner than one of a year."""
    folder, own = first.path("/etc/holdfast/tls"), host.path("/etc/holdfast/tls")
    authority = Authority((folder / "ca.crt").read_text(), (folder / "ca.key").read_text())
    me = Certificates(own).me
    subject = Subject(host=me.host, host_name=me.host_name, addresses=(host.address,))
    request = make_request((own / "host.key").read_text())
    write_private(own / "host.crt", authority.sign(request, subject, valid_s).pem)


def test_an_agent_renews_by_itself_before_the_end(lab: Lab, first: Host) -> None:
    host = lab.host("h2")
    sign_anew(first, host, 30 * 24 * 3_600)
    short = Certificates(host.path("/etc/holdfast/tls")).me.ends_utc_ms
    host.run(["/etc/init.d/holdfast", "restart", "agent"])
    site.wait_until(
        lambda: Certificates(host.path("/etc/holdfast/tls")).me.ends_utc_ms > short,
        "the agent renews its certificate",
    )
    site.wait_well(host)


def test_an_expired_certificate_is_told_in_words(lab: Lab, first: Host) -> None:
    host = lab.host("h2")
    kept = host.path("/etc/holdfast/tls/host.crt").read_text()
    sign_anew(first, host, -60)
    assert "own certificate has expired" in refused(host, "ca", "renew")
    host.run(["/etc/init.d/holdfast", "restart", "agent"])
    log = host.path("/var/log/holdfast/agent.log")
    words = "certificate has expired"
    site.wait_until(lambda: log.exists() and words in log.read_text(), "the agent says why")
    assert not is_linked(first, "h2")
    write_private(host.path("/etc/holdfast/tls/host.crt"), kept)
    site.wait_until(lambda: is_linked(first, "h2"), "h2 is linked again, without a restart")


def test_leaving_leaves_what_a_person_wrote(lab: Lab, first: Host) -> None:
    host = lab.host("h3")
    file = host.path("/etc/holdfast/holdfast.toml")
    file.write_text('[host]\nrack = "r1"\n')
    site.join(lab, host)
    assert "[controller." in file.read_text()
    said = holdfast(host, "leave", "--yes")
    assert "what you wrote into /etc/holdfast/holdfast.toml stays" in said
    assert file.read_text() == '[host]\nrack = "r1"\n'
    for gone in ("/etc/holdfast/tls", "/etc/init.d/holdfast", "/var/lib/holdfast/host-id"):
        assert not host.path(gone).exists()
    processes = host.run(["ps", "-eww", "-o", "args"]).stdout
    assert "holdfast.faces.cli.main" not in processes
    assert "holdfast.agent.pulse" not in processes
    file.unlink()


def test_one_controller_becomes_three_and_forgets_nothing(lab: Lab, first: Host) -> None:
    holdfast(first, "group", "set", "gateways", "--level", "1")
    assert "no room for another" in refused(first, "ca", "token", "new", "--controller")
    said = holdfast(first, "init", "--controllers", "3")
    assert "records were copied into etcd" in said
    assert "gateways" in holdfast(first, "group", "list")
    for name in ("h3", "h4"):
        site.join(lab, lab.host(name), "--controller")
    assert "gateways" in holdfast(lab.host("h4"), "group", "list")
    for name in ("h1", "h2", "h3", "h4"):
        site.wait_well(lab.host(name))
    first.power_cut()
    site.wait_until(lambda: site.ask(lab.host("h3"), "status") is not None, "the others answer")
    assert "gateways" in holdfast(lab.host("h3"), "group", "list")
    first.power_on()
    holdfast(lab.host("h4"), "leave", "--yes")
    site.wait_until(lambda: names(lab.host("h3")) == {"h1", "h2", "h3"}, "h4 is forgotten")
