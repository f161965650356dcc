"""Who the agent is: words of its own making only, and no memory of somebody else."""

from pathlib import Path

import pytest

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


def live_once(state: Path, me: Identity) -> None:
    decider = Decider()
    journal = open_journal(state / "journal", decider, 8)
    fact = booted(me)
    journal.append("input", fact.at, fact)
    decider.step(fact)
    journal.close()


def test_who_it_is_lasts_and_the_boot_lasts_as_long_as_the_run_directory(tmp_path: Path) -> None:
    first = identify(tmp_path / "state", tmp_path / "run", "h1")
    again = identify(tmp_path / "state", tmp_path / "run", "h1")
    later = identify(tmp_path / "state", tmp_path / "run-of-another-boot", "h1")
    assert first.is_new_state
    assert not again.is_new_state
    assert (again.host, again.boot, again.state_id) == (first.host, first.boot, first.state_id)
    assert later.host == first.host
    assert later.boot != first.boot


@pytest.mark.parametrize("rubbish", [b"", b"\xff\xfe\x00", b"another word\n", b"x" * 100_000])
@pytest.mark.parametrize("name", ["state-id", "host-id"])
def test_a_damaged_id_makes_the_memory_doubtful(tmp_path: Path, name: str, rubbish: bytes) -> None:
    state = tmp_path / "state"
    live_once(state, identify(state, tmp_path / "run", "h1"))
    me = identify(state, tmp_path / "run", "h1")
    assert recall(state / "journal", me).doubt == ""
    (state / name).write_bytes(rubbish)
    other = identify(state, tmp_path / "run", "h1")
    assert recall(state / "journal", other).doubt


def test_a_first_start_has_nothing_to_doubt(tmp_path: Path) -> None:
    me = identify(tmp_path / "state", tmp_path / "run", "h1")
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
