"""A plane is lost when a host is silent on it and heard on another; of all hosts, it is our end."""

from collections.abc import Iterable, Iterator

from holdfast.facts.hearing import (
    EarDoubted,
    EarTrusted,
    HostExpected,
    HostForgotten,
    PlaneHeard,
    PlaneSilent,
)
from holdfast.facts.instants import Instant, after
from holdfast.facts.observations import Observation
from holdfast.facts.subjects import Subject, SubjectKind, host_subject
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised, Verdict
from holdfast.ports.detector import Detector
from holdfast.ports.dues import Dues

SEAT = "controller"
HOLD_MS = 200  # A host that dies falls silent on its planes one after the other.
NEVER_HEARD_MS = 10_000
CONDITION = "host-plane-lost"
OUR_END = "controller-plane-lost"


class _Host:
    def __init__(self, host: str) -> None:
        self.host = self.name = host
        self.boot = ""
        self.is_here = False
        self.planes: frozenset[str] = frozenset()  # Its own; empty where nobody said.
        self.heard: set[str] = set()
        self.ever: set[str] = set()  # Heard in this boot, be it now or earlier.
        self.lost_at: dict[str, Instant] = {}  # By plane: when its last pulse came.
        self.said: set[str] = set()


class HostPlaneLost:
    def __init__(self, *, hold_ms: float = HOLD_MS, never_heard_ms: float = NEVER_HEARD_MS) -> None:
        self._hold_ms, self._never_heard_ms = hold_ms, never_heard_ms
        self._hosts: dict[str, _Host] = {}
        self._dues: Dues[tuple[str, str]] = Dues()  # By host and plane: when to say it.
        self._our_end: set[str] = set()
        self._is_doubted = False

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case HostExpected():
                return list(self._expect(seen))
            case HostForgotten():
                return list(self._forget(seen))
            case PlaneHeard():
                return list(self._heard(seen))
            case PlaneSilent():
                self._silent(seen)
            case EarDoubted():
                self._is_doubted = True
            case EarTrusted():
                self._is_doubted = False
                for host in self._hosts.values():
                    self._look_later(host, after(seen.at, self._hold_ms))
            case _:
                pass
        return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        return list(self._look(now))

    def deadline(self) -> Instant | None:
        return self._dues.first()

    def _host(self, name: str) -> _Host:
        return self._hosts.setdefault(name, _Host(name))

    def _expect(self, seen: HostExpected) -> Iterator[Verdict]:
        host = self._host(seen.host)
        host.name, host.is_here = seen.name, seen.is_here
        host.planes = frozenset(seen.planes)
        yield from self._give_up(host, seen.at)
        for plane in seen.planes:
            if plane not in host.heard and plane not in host.lost_at:
                host.lost_at[plane] = seen.at
                self._dues.set((host.host, plane), after(seen.at, self._never_heard_ms))

    def _give_up(self, host: _Host, at: Instant) -> Iterator[Verdict]:
        """Planes that its settings name no more: it pulses there no more, and should not."""
        for plane in sorted(host.lost_at.keys() - host.planes) if host.planes else ():
            host.heard.discard(plane)
            del host.lost_at[plane]
            self._dues.set((host.host, plane), None)
            if plane in host.said:
                yield from self._unsaid(host, plane, at, f"plane {plane} is none of its own now")

    def _unsaid(self, host: _Host, plane: str, at: Instant, reason: str) -> Iterator[Verdict]:
        host.said.discard(plane)
        if host.said:  # One alarm for all its planes: what is left of it is said anew.
            yield self._raised(host, at)
        else:
            yield self._cleared(host, at, reason)

    def _forget(self, seen: HostForgotten) -> Iterator[Verdict]:
        host = self._hosts.pop(seen.host, None)
        if host is not None:
            yield from self._over(host, seen.at, f"{host.name} left the site")
        for plane in sorted(self._our_end):
            others = [one for one in self._hosts.values() if not one.is_here]
            if not any(plane in one.lost_at for one in others):
                self._our_end.discard(plane)
                reason = "the hosts that were not heard on it have left the site"
                yield self._ours_is_back(plane, seen.at, reason)

    def _heard(self, seen: PlaneHeard) -> Iterator[Verdict]:
        host = self._host(seen.host)
        if host.boot not in ("", seen.boot):
            yield from self._over(host, seen.at, f"{host.name} was booted since")
            host.heard.clear()
            host.ever.clear()
        host.boot = seen.boot
        host.lost_at.pop(seen.plane, None)
        self._dues.set((host.host, seen.plane), None)
        if not host.heard:  # It is back: the other planes have their time to be, too.
            self._look_later(host, after(seen.at, self._hold_ms))
        host.heard.add(seen.plane)
        host.ever.add(seen.plane)
        if seen.plane in self._our_end and not host.is_here:
            self._our_end.discard(seen.plane)
            yield self._ours_is_back(seen.plane, seen.at, f"{host.name} is heard on it again")
            for other in self._hosts.values():
                self._look_later(other, after(seen.at, self._hold_ms))
        if seen.plane in host.said:
            reason = f"{host.name} is heard again on plane {', '.join(sorted(host.said))}"
            yield from self._unsaid(host, seen.plane, seen.at, reason)

    def _look_later(self, host: _Host, at: Instant) -> None:
        for plane in sorted(host.lost_at.keys() - host.said):
            if (host.host, plane) not in self._dues:
                self._dues.set((host.host, plane), at)

    def _silent(self, seen: PlaneSilent) -> None:
        host = self._host(seen.host)
        is_its_own = not host.planes or seen.plane in host.planes
        if seen.boot != host.boot or seen.plane in host.lost_at or not is_its_own:
            return
        host.heard.discard(seen.plane)
        host.lost_at[seen.plane] = seen.last_heard
        self._dues.set((host.host, seen.plane), after(seen.at, self._hold_ms))

    def _look(self, now: Instant) -> Iterator[Verdict]:
        due_planes: dict[str, list[str]] = {}
        for name, plane in self._dues.take(now):
            due_planes.setdefault(name, []).append(plane)
        for name, due in due_planes.items():
            host = self._hosts.get(name)
            if host is None or self._is_doubted or not host.heard:
                continue  # Doubted, or silent on all of them: that is another detector's.
            news = []
            for plane in due:
                if not host.is_here and self._is_our_end(plane):
                    if plane not in self._our_end:
                        self._our_end.add(plane)
                        yield self._ours(plane, host.lost_at[plane], now)
                else:
                    news.append(plane)
            if news:
                host.said.update(news)
                yield self._raised(host, now)

    def _is_our_end(self, plane: str) -> bool:
        """Two or more other hosts are heard here, and none of them on this plane."""
        others = [one for one in self._hosts.values() if not one.is_here and one.heard]
        expected = [one for one in others if plane in one.lost_at or plane in one.heard]
        return len(expected) > 1 and all(plane in one.lost_at for one in expected)

    def _over(self, host: _Host, at: Instant, reason: str) -> Iterator[Verdict]:
        if host.said:
            yield self._cleared(host, at, reason)
        for plane in host.lost_at:
            self._dues.set((host.host, plane), None)
        host.said.clear()
        host.lost_at.clear()

    def _subject(self, host: _Host) -> Subject:
        return host_subject(host.host, host.name)

    def _raised(self, host: _Host, now: Instant) -> Verdict:
        planes, heard = ", ".join(sorted(host.said)), ", ".join(sorted(host.heard))
        fault_at = min(host.lost_at[plane] for plane in host.said)
        return FaultRaised(
            detector="host_plane_lost",
            condition=CONDITION,
            subject=self._subject(host),
            effect=Effect.DEGRADED,
            certainty=Certainty.CERTAIN,
            fault_at=fault_at,
            # Never heard: since when it is cut nobody knows, and the wait was on purpose.
            not_before=None if host.said <= host.ever else fault_at,
            detected_at=now,
            reason=f"{host.name} is silent on plane {planes}, and heard on {heard}",
            boot=host.boot,
            cause=f"plane {planes} is cut",
        )

    def _cleared(self, host: _Host, at: Instant, reason: str) -> Verdict:
        return FaultCleared(
            detector="host_plane_lost",
            condition=CONDITION,
            subject=self._subject(host),
            at=at,
            reason=reason,
            boot=host.boot,
        )

    def _ours(self, plane: str, lost_at: Instant, now: Instant) -> Verdict:
        return FaultRaised(
            detector="host_plane_lost",
            condition=OUR_END,
            subject=_controller(),
            effect=Effect.DEGRADED,
            certainty=Certainty.CERTAIN,
            fault_at=lost_at,
            detected_at=now,
            reason=f"no host is heard on plane {plane}, and all of them on another",
            cause=f"plane {plane} is down, or this controller's end of it",
        )

    def _ours_is_back(self, plane: str, at: Instant, reason: str) -> Verdict:
        return FaultCleared(
            detector="host_plane_lost",
            condition=OUR_END,
            subject=_controller(),
            at=at,
            reason=f"plane {plane}: {reason}",
        )


def _controller() -> Subject:
    return Subject(kind=SubjectKind.HOLDFAST, id="controller", name="controller")


PLUGIN: type[Detector] = HostPlaneLost
