"""What every journal keeps: the contract that the real one and the fake are tested by."""

from collections.abc import Callable

import msgspec

from holdfast.facts.commands import Armed, Woke
from holdfast.facts.instants import Instant
from holdfast.ports.journal import Gap, Journal, Record


class JournalContract:
    """Subclasses give `make`, and `fill` and `free` for the disk below the newest journal."""

    def make(self, snapshot: Callable[[], bytes]) -> Journal:
        raise NotImplementedError

    def fill(self) -> None:
        raise NotImplementedError

    def free(self) -> None:
        raise NotImplementedError

    def test_what_was_appended_is_read_in_order_after_a_snapshot(self) -> None:
        journal = self.make(lambda: b'{"is":"Snapshot"}')
        journal.append("input", Instant(5), Woke(at=Instant(5)))
        journal.append("action", Instant(6), b'{"is":"Report"}')
        journal.append("note", Instant(7), b'{\n"is": "Restart"}')
        records = list(journal.records())
        assert [r.kind for r in records] == ["snapshot", "input", "action", "note"]
        assert [r.n for r in records] == [1, 2, 3, 4]
        assert [r.at for r in records] == [5, 5, 6, 7]
        assert records[0].schema == 3
        assert bytes(records[0].body) == b'{"is":"Snapshot"}'
        assert msgspec.json.decode(records[1].body, type=Woke) == Woke(at=Instant(5))
        assert msgspec.json.decode(records[3].body) == {"is": "Restart"}
        journal.close()

    def test_a_full_disk_leaves_a_gap_that_is_counted_and_said(self) -> None:
        world = [b'{"is":"Before"}']
        journal = self.make(lambda: world[0])
        journal.append("input", Instant(1), Woke(at=Instant(1)))
        self.fill()
        for _ in range(3):
            journal.append("input", Instant(2), Armed(at=Instant(2), by="x" * 5_000))
        assert journal.losses().count == 3
        assert journal.losses().reason
        self.free()
        world[0] = b'{"is":"After"}'
        journal.append("input", Instant(9), Woke(at=Instant(9)))
        assert journal.losses().count == 3
        after: list[Record] = list(journal.records())[-3:]
        assert [r.kind for r in after] == ["snapshot", "note", "input"]
        assert bytes(after[0].body) == b'{"is":"After"}'
        gap = msgspec.json.decode(after[1].body, type=Gap)
        assert (gap.lost, gap.reason) == (3, journal.losses().reason)
        assert after[0].n == 2 + 3 + 1, "the numbers of what was lost are not given again"
        journal.close()
