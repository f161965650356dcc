"""The memo beside the world: what protect changed is on disk first, and no loss is silent."""

from pathlib import Path

from holdfast.agent.health import Health
from holdfast.ports.hypervisor import TakenOver

TAKEN = TakenOver(vm="a", autostart=False, on_crash="restart")


def health(path: Path) -> Health:
    return Health(path, dict)


def test_what_was_taken_over_outlives_the_agent(tmp_path: Path) -> None:
    first = health(tmp_path / "memo.json")
    assert first.keep_taken(TAKEN)
    again = TakenOver(vm="a", autostart=False, on_crash="preserve")
    assert first.keep_taken(again), "it is kept already"
    second = health(tmp_path / "memo.json")
    assert second.taken("a") == TAKEN, "the first record stands"
    second.forget_taken("a")
    assert health(tmp_path / "memo.json").taken("a") is None
    assert second.losses().count == 0


def test_what_cannot_be_written_is_counted_and_not_said_to_be_kept(tmp_path: Path) -> None:
    kept = health(tmp_path / "not-there" / "memo.json")
    assert not kept.keep_taken(TAKEN)
    assert kept.taken("a") is None
    assert kept.losses().count == 1
    assert "could not be written" in kept.losses().reason


def test_a_damaged_memo_is_set_aside_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "memo.json"
    path.write_bytes(b'{"taken": {"a": ')
    kept = health(path)
    assert kept.taken("a") is None
    assert kept.losses().count == 1
    assert "set aside" in kept.losses().reason
    [aside] = tmp_path.glob("memo.json.damaged-*")
    assert aside.read_bytes() == b'{"taken": {"a": '


def test_a_new_agent_has_lost_nothing(tmp_path: Path) -> None:
    assert health(tmp_path / "memo.json").losses().count == 0
