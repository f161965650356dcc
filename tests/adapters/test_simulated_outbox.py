"""The outbox in memory keeps the contract of the one on disk."""

from holdfast.adapters.simulated.outbox import OutboxInMemory
from holdfast.ports.outbox import Outbox
from tests.adapters.contract_outbox import OutboxContract, payloads


class TestOutboxInMemory(OutboxContract):
    def make(self) -> Outbox:
        return OutboxInMemory("boot.1")

    def again(self, outbox: Outbox) -> Outbox:
        return outbox


def test_a_new_stream_begins_behind_what_is_pending() -> None:
    outbox = OutboxInMemory("boot.1")
    outbox.append(b"old")
    outbox.begin_stream("boot.2")
    assert outbox.append(b"new") == 1
    assert [stream for stream, _, _ in outbox.pending()] == ["boot.1", "boot.2"]
    assert payloads(outbox) == [b"old", b"new"]
