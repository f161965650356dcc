"""What every outbox keeps: the contract that the one on disk and the fake are tested by."""

from holdfast.ports.outbox import Outbox


def payloads(outbox: Outbox) -> list[bytes]:
    return [payload for _, _, payload in outbox.pending()]


class OutboxContract:
    def make(self) -> Outbox:
        """A new and empty one."""
        raise NotImplementedError

    def again(self, outbox: Outbox) -> Outbox:
        """The same, as the next program of this boot finds it."""
        raise NotImplementedError

    def test_an_empty_one_has_nothing_to_say(self) -> None:
        outbox = self.make()
        assert (outbox.waiting, outbox.first(), outbox.pending()) == (0, None, [])
        assert (outbox.take_gap(), outbox.losses().count) == (0, 0)
        outbox.close()

    def test_entries_wait_in_order_under_numbers_from_one(self) -> None:
        outbox = self.make()
        assert [outbox.append(b"%d" % n) for n in range(3)] == [1, 2, 3]
        stream = outbox.stream
        assert outbox.pending() == [(stream, 1, b"0"), (stream, 2, b"1"), (stream, 3, b"2")]
        assert outbox.first() == (stream, 1, b"0")
        assert outbox.waiting == 3
        outbox.close()

    def test_what_arrived_waits_no_more_in_whatever_order(self) -> None:
        outbox = self.make()
        for n in range(4):
            outbox.append(b"%d" % n)
        for sequence in (3, 1):
            outbox.acknowledge(outbox.stream, sequence)
        assert payloads(outbox) == [b"1", b"3"]
        assert outbox.first() == (outbox.stream, 2, b"1")
        outbox.close()

    def test_an_acknowledgement_of_something_else_changes_nothing(self) -> None:
        outbox = self.make()
        outbox.append(b"x")
        outbox.acknowledge("another", 1)
        outbox.acknowledge(outbox.stream, 2)
        outbox.acknowledge(outbox.stream, 0)
        assert payloads(outbox) == [b"x"]
        outbox.close()

    def test_no_number_is_given_twice(self) -> None:
        outbox = self.make()
        used = set()
        for _ in range(3):
            for _ in range(3):
                sequence = outbox.append(b"x")
                name = (outbox.stream, sequence)  # Of what was appended last.
                assert name not in used
                used.add(name)
                outbox.acknowledge(*name)
            outbox = self.again(outbox)
        assert outbox.waiting == 0
        outbox.close()

    def test_what_waits_is_found_by_the_next_program(self) -> None:
        outbox = self.make()
        for n in range(3):
            outbox.append(b"%d" % n)
        outbox.acknowledge(outbox.stream, 2)
        before = outbox.pending()
        outbox.sync()
        again = self.again(outbox)
        assert again.pending() == before
        again.append(b"new")
        assert payloads(again) == [b"0", b"2", b"new"]
        assert again.take_gap() == 0
        again.close()
