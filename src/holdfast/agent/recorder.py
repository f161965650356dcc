"""Each second, keep what every VM did: counters, console and events, each in its own ring.

A ring is kept after its VM's death, for days, within a total size.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from holdfast.adapters.drivers.private_folder import make_private_folder
from holdfast.adapters.recorders.ring import SIZE_BYTES, Ring
from holdfast.agent.counters import Counters
from holdfast.agent.tails import Tail
from holdfast.facts.instants import NS_PER_MS, NS_PER_S, Instant
from holdfast.facts.last_words import Noted, Sample
from holdfast.facts.subjects import Incarnation
from holdfast.ports.journal import Losses
from holdfast.ports.recorder import Kept
from holdfast.ports.recorder import Recorder as KeptBy

PERIOD_S = 1.0
CONSOLE_BYTES = 4_096  # Of each console, each second; a flood would push all else out of the ring.
COPY_BYTES = 4_096
KEEP_S = 14 * 86_400
TOTAL_BYTES = 512 << 20
TIDY_S = 3_600
RETRY_NS = 10 * NS_PER_S  # A ring or a life that could not be opened is tried again after this.
IDLE_NS = 600 * NS_PER_S  # The ring of a dead VM stays open this long.
AT_ONCE = 10  # VMs that are sampled before others get their turn.
_SAFE_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,100}")


class Watched(Struct, frozen=True, kw_only=True):
    """A running VM. `taps` None: they are found. `console_log` empty: it has none."""

    life: Incarnation
    name: str
    console_log: str = ""
    taps: tuple[str, ...] | None = None


class _Lane:
    """All that is open for one VM."""

    def __init__(self) -> None:
        self.ring: KeptBy | None = None
        self.life: Incarnation | None = None
        self.counters: Counters | None = None
        self.tail: Tail | None = None
        self.retry_at = 0
        self.used_at = 0

    def leave_life(self) -> None:
        if self.counters is not None:
            self.counters.close()
        if self.tail is not None:
            self.tail.close()
        self.counters = self.tail = self.life = None

    def close(self) -> None:
        self.leave_life()
        if self.ring is not None:
            self.ring.close()
            self.ring = None


class Recorder:
    """`running` tells which VMs run now; it is asked each second. Nothing here ever raises for a
    VM's or the disk's sake: `losses` counts."""

    def __init__(
        self,
        folder: Path,
        boot: str,
        running: Callable[[], Iterable[Watched]],
        *,
        ring_bytes: int = SIZE_BYTES,
        keep_s: float = KEEP_S,
        total_bytes: int = TOTAL_BYTES,
        open_ring: Callable[[Path], KeptBy] | None = None,
    ) -> None:
        self._folder = folder
        self._running = running
        self._keep_s = keep_s
        self._total_bytes = total_bytes
        self._open_ring = open_ring or (lambda path: Ring(path, boot, ring_bytes))
        self._lanes: dict[str, _Lane] = {}
        self._lost = Losses()
        make_private_folder(folder)
        self.tidy()

    async def run(self) -> None:
        """Until cancelled. A second that was missed is not made up for."""
        loop = asyncio.get_running_loop()
        next_at, tidy_at = loop.time(), loop.time() + TIDY_S
        while True:
            running = list(self._running())
            for start in range(0, len(running), AT_ONCE):
                self.tick(running[start : start + AT_ONCE])
                await asyncio.sleep(0)
            self._leave_all_but({watched.life.vm for watched in running})
            if loop.time() >= tidy_at:
                self.tidy()
                tidy_at = loop.time() + TIDY_S
            next_at = max(next_at + PERIOD_S, loop.time())
            await asyncio.sleep(next_at - loop.time())

    def tick(self, running: Iterable[Watched]) -> None:
        """One sample, and what is new on the console, of each."""
        now, utc_ms = _now()
        for watched in running:
            lane = self._lane(watched.life.vm, now)
            if lane is None:
                continue
            if lane.life != watched.life:
                _begin_life(lane, watched)
            elif lane.tail is None and watched.console_log:  # libvirt told its path only now.
                lane.tail = Tail(Path(watched.console_log))
            self._record(lane, now, utc_ms)

    def note(self, vm: str, kind: str, text: str, at: Instant | None = None) -> None:
        """Keep an event: `kind` is lifecycle, qmp or the like. VMs that died can still have one."""
        now, utc_ms = _now()
        lane = self._lane(vm, now)
        if lane is not None and lane.ring is not None:
            lane.ring.add(Noted(at=now if at is None else at, utc_ms=utc_ms, kind=kind, text=text))

    def since(self, vm: str, at: Instant) -> list[Kept]:
        """What was kept of a VM from then on, oldest first."""
        lane = self._lane(vm, time.monotonic_ns())
        return lane.ring.since(at) if lane is not None and lane.ring is not None else []

    def seen_utc_ms(self, vm: str) -> int | None:
        """When its newest sample was taken, by the wall clock, in whichever boot; or None."""
        lane = self._lane(vm, time.monotonic_ns())
        lines = lane.ring.newest(COPY_BYTES).splitlines() if lane and lane.ring else []
        for line in reversed(lines):
            with contextlib.suppress(msgspec.MsgspecError):
                one = msgspec.json.decode(line, type=Kept)
                if isinstance(one, Sample):
                    return one.utc_ms
        return None

    def copies(self, max_bytes: int = COPY_BYTES) -> dict[str, str]:
        """For the controller: of each VM that runs, the newest lines of JSON."""
        open_lanes = [(vm, lane) for vm, lane in self._lanes.items() if lane.life is not None]
        return {vm: lane.ring.newest(max_bytes) for vm, lane in open_lanes if lane.ring is not None}

    def losses(self) -> Losses:
        """Since the start: records and files."""
        rings = (lane.ring for lane in self._lanes.values())
        inside = sum(ring.lost for ring in rings if ring is not None)
        reason = self._lost.reason or ("a record could not be written" if inside else "")
        return Losses(count=self._lost.count + inside, reason=reason)

    def tidy(self) -> None:
        """Remove what is too old, then the oldest until the rest fits; never what is in use."""
        in_use = {f"{vm}.ring" for vm in self._lanes}
        found = []
        for path in self._folder.iterdir():
            if ".ring" in path.name and path.name not in in_use:
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
        total = sum(size for _, size, _ in found)
        for changed, size, path in sorted(found):
            if time.time() - changed < self._keep_s and total <= self._total_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size

    def close(self) -> None:
        for lane in self._lanes.values():
            lane.close()
        self._lanes = {}

    def _lane(self, vm: str, now: int) -> _Lane | None:
        """The VM's open ring, or None while it cannot be opened."""
        lane = self._lanes.get(vm)
        if lane is None:
            if not _SAFE_NAME.fullmatch(vm):
                self._lose(f"{vm!r} is no uuid of a VM")
                return None
            lane = self._lanes[vm] = _Lane()
        lane.used_at = now
        if lane.ring is None and now >= lane.retry_at:
            try:
                lane.ring = self._open_ring(self._folder / f"{vm}.ring")
            except OSError as error:
                lane.retry_at = now + RETRY_NS
                self._lose(f"the ring of {vm}: {error.strerror}")
        return lane if lane.ring is not None else None

    def _record(self, lane: _Lane, now: Instant, utc_ms: int) -> None:
        assert lane.ring is not None
        if lane.counters is not None:
            try:
                lane.ring.add(lane.counters.sample(now, utc_ms))
            except (OSError, ValueError, IndexError):  # The process is gone, or is going.
                lane.counters.close()
                lane.counters = None
        if lane.tail is not None:
            text, skipped = lane.tail.read_new(CONSOLE_BYTES)
            if skipped:
                left_out = f"{skipped} bytes of console left out"
                lane.ring.add(Noted(at=now, utc_ms=utc_ms, kind="recorder", text=left_out))
            if text:
                lane.ring.add(Noted(at=now, utc_ms=utc_ms, kind="console", text=text))

    def _leave_all_but(self, running: set[str]) -> None:
        now = time.monotonic_ns()
        for vm, lane in list(self._lanes.items()):
            if vm not in running:
                if lane.life is not None:
                    lane.leave_life()
                if now - lane.used_at > IDLE_NS:
                    if lane.ring is not None and lane.ring.lost:
                        count = self._lost.count + lane.ring.lost
                        self._lost = Losses(count=count, reason="a record could not be written")
                    lane.close()
                    del self._lanes[vm]

    def _lose(self, reason: str) -> None:
        self._lost = Losses(count=self._lost.count + 1, reason=reason)


def _now() -> tuple[Instant, int]:
    return Instant(time.monotonic_ns()), time.time_ns() // NS_PER_MS


def _begin_life(lane: _Lane, watched: Watched) -> None:
    lane.leave_life()
    if watched.console_log:
        lane.tail = Tail(Path(watched.console_log))
    lane.life = watched.life
    try:
        lane.counters = Counters(watched.life, watched.taps)
    except (OSError, ValueError, IndexError):  # It is over already; its console may speak.
        lane.counters = None
