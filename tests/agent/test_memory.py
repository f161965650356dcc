"""What the agent remembers after a kill, and when it does not trust what it remembers."""

from pathlib import Path

import msgspec
import pytest

from holdfast.adapters.journals.segments import Segments, segment_paths
from holdfast.agent.loop import now
from holdfast.agent.memory import Remembered, Snapshot, is_in_doubt, open_journal, remember
from holdfast.facts.commands import Booted, GroupSet, ProtectionGranted, Woke
from holdfast.facts.instants import Instant
from holdfast.facts.promises import Group
from holdfast.policy import promise
from holdfast.policy.decide import Decider, Input
from holdfast.policy.world import SCHEMA
from tests.agent.scene import BOOT, HOST, protection_of


def booted(*, is_amnesiac: bool = False) -> Booted:
    return Booted(
        at=now(), host=HOST, host_name="h", boot=BOOT, state_id="s", is_amnesiac=is_amnesiac
    )


def group_set(name: str) -> GroupSet:
    return GroupSet(at=now(), group=Group(name=name))


def live(folder: Path, *inputs: Input) -> Decider:
    """An agent's life: each input journaled, then consumed; then kill -9."""
    decider = Decider(remember(folder).world)
    journal = open_journal(folder, decider, 64)
    for fact in inputs:
        journal.append("input", now(), fact)
        decider.step(fact)
    journal.close()
    return decider


def granted() -> ProtectionGranted:
    return ProtectionGranted(at=now(), protection=protection_of("a"), by="me")


def newest(folder: Path) -> Path:
    return segment_paths(folder)[-1]


def lines(folder: Path) -> list[bytes]:
    return newest(folder).read_bytes().splitlines(keepends=True)


def test_an_intact_journal_gives_the_same_world_again(tmp_path: Path) -> None:
    was = live(tmp_path, booted(), group_set("one"), granted())
    remembered = remember(tmp_path)
    assert remembered.world == was.world
    assert (remembered.lost, remembered.doubt) == (0, "")
    assert not is_in_doubt(remembered)


def test_a_torn_last_line_is_no_damage(tmp_path: Path) -> None:
    live(tmp_path, booted(), granted(), group_set("one"))
    kept = lines(tmp_path)
    newest(tmp_path).write_bytes(b"".join(kept[:-1]) + kept[-1][:40])
    remembered = remember(tmp_path)
    assert remembered.lost == 1
    assert not is_in_doubt(remembered)
    assert remembered.world is not None
    assert "a" in remembered.world.vms


@pytest.mark.parametrize("which", [1, 2, -1])
def test_any_other_damaged_line_makes_it_amnesiac(tmp_path: Path, which: int) -> None:
    live(tmp_path, booted(), granted(), group_set("one"))
    kept = lines(tmp_path)
    kept[which] = kept[which].replace(b"0", b"1")
    newest(tmp_path).write_bytes(b"".join(kept))
    remembered = remember(tmp_path)
    assert is_in_doubt(remembered)
    assert "damaged or missing" in remembered.doubt
    assert remembered.world is not None, "its history is kept"


def test_a_missing_line_makes_it_amnesiac(tmp_path: Path) -> None:
    live(tmp_path, booted(), granted(), group_set("one"), group_set("two"))
    kept = lines(tmp_path)
    del kept[3]
    newest(tmp_path).write_bytes(b"".join(kept))
    assert is_in_doubt(remember(tmp_path))


def test_nothing_is_started_on_a_memory_in_doubt(tmp_path: Path) -> None:
    """What is lost may have been a disarm, a stop or an unprotect."""
    live(tmp_path, booted(), granted(), group_set("one"), group_set("two"))
    kept = lines(tmp_path)
    del kept[-2]
    newest(tmp_path).write_bytes(b"".join(kept))
    remembered = remember(tmp_path)
    decider = Decider(remembered.world)
    decider.step(booted(is_amnesiac=is_in_doubt(remembered)))
    obstacle = promise.obstacle(decider.world, decider.world.vms["a"])
    assert obstacle == "this boot has not been granted it yet"
    assert decider.world.is_amnesiac


def test_a_second_kill_before_policy_was_told_does_not_bring_trust_back(tmp_path: Path) -> None:
    live(tmp_path, booted(), granted(), group_set("one"), group_set("two"))
    kept = lines(tmp_path)
    del kept[3]
    newest(tmp_path).write_bytes(b"".join(kept))
    # The agent begins a segment with what it remembers, and is killed before its first input.
    live(tmp_path, Woke(at=now()))
    again = remember(tmp_path)
    assert again.lost == 0
    assert is_in_doubt(again)
    live(tmp_path, booted(is_amnesiac=True))
    assert not is_in_doubt(remember(tmp_path)), "policy knows by now"


def test_a_gap_that_the_journal_told_of_is_no_damage(tmp_path: Path) -> None:
    decider = Decider()
    is_full = True

    def snapshot() -> Snapshot:
        if is_full:
            raise OSError(28, "No space left on device")
        return Snapshot(world=decider.world)

    journal = Segments(tmp_path, SCHEMA, snapshot, retry_ns=0)
    for fact in (booted(), group_set("one")):
        journal.append("input", now(), fact)
        decider.step(fact)
    is_full = False
    journal.append("input", now(), last := group_set("two"))
    decider.step(last)
    assert journal.losses().count == 2
    journal.close()
    remembered = remember(tmp_path)
    assert not is_in_doubt(remembered)
    assert remembered.world == decider.world


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        (SCHEMA + 1, b'{"is":"Snapshot","world":{}}'),
        (SCHEMA, b'{"is":"Snapshot","world":{"vms":[]}}'),
        (SCHEMA, b'{"is":"Picture"}'),
    ],
)
def test_a_snapshot_of_another_shape_makes_it_amnesiac_and_does_not_stop_it(
    tmp_path: Path, schema: int, body: bytes
) -> None:
    journal = Segments(tmp_path, schema, lambda: body)
    journal.append("input", Instant(1), group_set("one"))
    journal.close()
    remembered = remember(tmp_path)
    assert remembered.world is None
    assert is_in_doubt(remembered)


def test_an_input_that_nobody_understands_makes_it_amnesiac(tmp_path: Path) -> None:
    decider = live(tmp_path, booted())
    journal = open_journal(tmp_path, decider, 64)
    journal.append("input", now(), msgspec.json.encode({"is": "Unheard"}))
    journal.close()
    assert is_in_doubt(remember(tmp_path))


def test_an_empty_memory_is_in_doubt(tmp_path: Path) -> None:
    assert remember(tmp_path) == Remembered(world=None, doubt="there is no intact snapshot")
