"""Who the agent is: words of its own making only, and no memory of somebody else."""

from pathlib import Path

import pytest

from holdfast.adapters.drivers.authority import Authority, Subject, make_key_and_request
from holdfast.adapters.drivers.certificates import CertificateProblem, write_private
from holdfast.adapters.drivers.only_one import NotTheOnlyOne, only_one
from holdfast.agent.identity import Identity, identify
from holdfast.agent.loop import now
from holdfast.agent.memory import open_journal, recall
from holdfast.facts.commands import Booted
from holdfast.policy.decide import Decider


def booted(me: Identity) -> Booted:
    return Booted(
        at=now(), host=me.host, host_name=me.host_name, boot=me.boot, state_id=me.state_id
    )


def certify(tls: Path, host: str) -> None:
    """What `holdfast join` leaves."""
    _, request = make_key_and_request()
    subject = Subject(host=host, host_name="h1", addresses=(), is_controller=False)
    write_private(tls / "host.crt", Authority.make("a site").sign(request, subject).pem)


def live_once(state: Path, me: Identity) -> None:
    decider = Decider()
    journal = open_journal(state / "journal", decider, 8)
    fact = booted(me)
    journal.append("input", fact.at, fact)
    decider.step(fact)
    journal.close()


def test_who_it_is_lasts_and_the_boot_lasts_as_long_as_the_run_directory(tmp_path: Path) -> None:
    first = identify(tmp_path / "state", tmp_path / "run", "h1", tmp_path / "tls")
    again = identify(tmp_path / "state", tmp_path / "run", "h1", tmp_path / "tls")
    later = identify(tmp_path / "state", tmp_path / "run-of-another-boot", "h1", tmp_path / "tls")
    assert first.is_new_state
    assert not again.is_new_state
    assert (again.host, again.boot, again.state_id) == (first.host, first.boot, first.state_id)
    assert later.host == first.host
    assert later.boot != first.boot


@pytest.mark.parametrize("rubbish", [b"", b"\xff\xfe\x00", b"another word\n", b"x" * 100_000])
@pytest.mark.parametrize("name", ["state-id", "host-id"])
def test_a_damaged_id_makes_the_memory_doubtful(tmp_path: Path, name: str, rubbish: bytes) -> None:
    state = tmp_path / "state"
    live_once(state, identify(state, tmp_path / "run", "h1", tmp_path / "tls"))
    me = identify(state, tmp_path / "run", "h1", tmp_path / "tls")
    assert recall(state / "journal", me).doubt == ""
    (state / name).write_bytes(rubbish)
    other = identify(state, tmp_path / "run", "h1", tmp_path / "tls")
    assert recall(state / "journal", other).doubt


@pytest.mark.parametrize("lost", [None, b"", b"\xff\xfe", b"another word\n"])
def test_a_host_of_a_site_is_who_its_certificate_says(
    tmp_path: Path, lost: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    state, run, tls = tmp_path / "state", tmp_path / "run", tmp_path / "tls"
    first = identify(state, run, "h1", tls)
    live_once(state, first)
    certify(tls, first.host)
    (state / "host-id").unlink()
    if lost is not None:
        (state / "host-id").write_bytes(lost)
    again = identify(state, run, "h1", tls)
    assert again.host == first.host
    assert f"host-id was lost: this host is {first.host}, as {tls}/host.crt says" in caplog.text
    assert (state / "host-id").read_text().strip() == first.host
    assert recall(state / "journal", again).doubt == "", "its memory is still its own"
    caplog.clear()
    assert identify(state, run, "h1", tls).host == first.host
    assert caplog.text == ""


def test_an_id_that_is_not_the_certificates_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state, tls = tmp_path / "state", tmp_path / "tls"
    me = identify(state, tmp_path / "run", "h1", tls)
    certify(tls, "00c0ffee")
    assert identify(state, tmp_path / "run", "h1", tls).host == me.host
    assert f"host-id says that this host is {me.host}, and {tls}/host.crt" in caplog.text
    assert "that it is 00c0ffee" in caplog.text


def test_with_neither_id_nor_certificate_a_host_of_a_site_is_nobody(tmp_path: Path) -> None:
    state, tls = tmp_path / "state", tmp_path / "tls"
    me = identify(state, tmp_path / "run", "h1", tls)
    write_private(tls / "host.crt", "x\n")
    assert identify(state, tmp_path / "run", "h1", tls).host == me.host, "the file is enough"
    (state / "host-id").write_bytes(b"")
    with pytest.raises(CertificateProblem, match=r"host-id is lost.* is damaged .*holdfast join"):
        identify(state, tmp_path / "run", "h1", tls)
    certify(tls, "no id at all")
    with pytest.raises(CertificateProblem, match=r"host-id is lost.*holds no host's id"):
        identify(state, tmp_path / "run", "h1", tls)


def test_a_first_start_has_nothing_to_doubt(tmp_path: Path) -> None:
    me = identify(tmp_path / "state", tmp_path / "run", "h1", tmp_path / "tls")
    remembered = recall(tmp_path / "state" / "journal", me)
    assert remembered.world is None
    assert remembered.doubt == ""


def test_two_of_a_kind_share_neither_state_nor_run_directory(tmp_path: Path) -> None:
    state, run = tmp_path / "state", tmp_path / "run"
    with only_one("agent", state, run):
        with pytest.raises(NotTheOnlyOne, match="another agent runs with"):
            only_one("agent", tmp_path / "other", run).__enter__()
        with only_one("controller", state, run):
            pass
    with only_one("agent", state, run):
        pass
