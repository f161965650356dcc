"""Which entries of a stream were done here: with several controllers, not all of them pass here."""

import bisect

import msgspec

RANGES_KEPT = 256  # What was done before the oldest of them is done once more: that is harmless.


class Stream:
    """`highest` is the last number that came; those in `open` have not been answered yet."""

    def __init__(self, kept: bytes = b"[]") -> None:
        """Raises msgspec.MsgspecError."""
        found = msgspec.json.decode(kept, type=int | list[tuple[int, int]])
        self._done = [(1, found)] if isinstance(found, int) else sorted(found)
        self.highest = self._done[-1][1] if self._done else 0
        self.open: set[int] = set()

    def is_done(self, number: int) -> bool:
        at = bisect.bisect_right(self._done, (number, number))
        near = self._done[max(0, at - 1) : at + 1]
        return any(first <= number <= last for first, last in near)

    def begin(self, number: int) -> int:
        """How many numbers before it have not come here."""
        hole = max(0, number - self.highest - 1) if self.highest else 0
        self.highest = max(self.highest, number)
        self.open.add(number)
        return hole

    def end(self, number: int) -> None:
        self.open.discard(number)
        if self.is_done(number):
            return
        at = bisect.bisect_left(self._done, (number, number))
        first = last = number
        if at < len(self._done) and self._done[at][0] == number + 1:
            last = self._done.pop(at)[1]
        if at > 0 and self._done[at - 1][1] == number - 1:
            first = self._done.pop(at - 1)[0]
            at -= 1
        self._done.insert(at, (first, last))
        del self._done[:-RANGES_KEPT]

    def leave(self, number: int) -> None:
        """It could not be done here. It counts as new when it comes again."""
        self.open.discard(number)

    def kept(self) -> bytes:
        return msgspec.json.encode(self._done)
