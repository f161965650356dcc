"""How long libvirt may leave a question open, by what its process does meanwhile.

A daemon that somebody stopped is frozen as soon as a question stays open; one that does nothing is
hung; one that works, or waits for a CPU, is only slow, and gets more time. What we ourselves were
late by does not count.
"""

from holdfast.adapters.drivers.one_process import STOPPED_LETTERS, Doing

STOPPED = "its process is stopped"
STOPPED_S = 0.4
IDLE_S = 0.65
BUSY_S = 3.0
LOOK_AGAIN_S = 0.25
# Every sleep ends a little late, which puts off the moment that it waited for: without a shortest
# one, further sleeps would come near to it by ever smaller steps, and for ever.
SHORTEST_LOOK_S = 0.01
BUSY_SHARE = 0.1  # Of the time that was looked at; all of its threads together.

assert STOPPED_S < IDLE_S < BUSY_S


class Patience:
    """With one open question, asked at `asked_s`."""

    def __init__(self, asked_s: float) -> None:
        self.asked_s = asked_s
        self._late_s = 0.0
        self._first: tuple[float, Doing] | None = None

    def judge(self, now_s: float, doing: Doing | None, late_s: float = 0.0) -> str | None:
        """The words for a silence; None while it is none yet. `late_s`: how late we woke."""
        self._late_s += late_s
        open_s = self.open_s(now_s)
        if open_s < STOPPED_S:
            return None
        if doing is None:
            return "" if open_s >= IDLE_S else None
        if doing.letter in STOPPED_LETTERS:
            return STOPPED
        first_s, first = self._first = self._first or (now_s, doing)
        if open_s < IDLE_S:
            return None
        wanted = (doing.used_ns - first.used_ns) / 1e9 > BUSY_SHARE * (now_s - first_s)
        if wanted or doing.is_runnable:
            return "its process is busy" if open_s >= BUSY_S else None
        return "its process is stuck in the kernel" if doing.letter == "D" else "its process idles"

    def open_s(self, now_s: float) -> float:
        return now_s - self.asked_s - self._late_s

    def next_look_s(self, now_s: float) -> float:
        """How long to sleep until there may be something to say."""
        open_s = self.open_s(now_s)
        left = [limit - open_s for limit in (STOPPED_S, IDLE_S, BUSY_S) if limit > open_s]
        wait_s = min([*left, LOOK_AGAIN_S]) if open_s >= STOPPED_S else left[0]
        return max(SHORTEST_LOOK_S, wait_s)
