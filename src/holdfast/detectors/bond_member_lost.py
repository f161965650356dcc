"""A bond lost a member when one of its devices does not work, and another one carries on."""

from collections.abc import Iterable, Iterator

from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised, Verdict
from holdfast.facts.vswitch import InterfaceGone, InterfaceSeen, LinkGone, LinkSeen, port_subject
from holdfast.ports.detector import Detector
from holdfast.ports.held import Held, Turned

CONDITION = "bond-member-lost"
CLEAR_MS = 2_000
NEVER_WORKED_MS = 10_000  # After a boot a link takes seconds to come up.


class BondMemberLost:
    def __init__(
        self, *, clear_ms: float = CLEAR_MS, never_worked_ms: float = NEVER_WORKED_MS
    ) -> None:
        self._never_worked_ms = never_worked_ms
        self._held = Held(clear_ms=clear_ms)
        self._members: dict[str, InterfaceSeen] = {}
        self._links: dict[str, bool] = {}
        self._said_of: dict[str, list[str]] = {}  # By bond: which members are said to be lost.
        self._were_whole: set[str] = set()  # Bonds.

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case InterfaceSeen():
                before = self._members.pop(seen.interface, None)
                if seen.members > 1:
                    self._members[seen.interface] = seen
                ports = {each.port: each.bridge for each in (before, seen) if each is not None}
            case InterfaceGone() if seen.interface in self._members:
                gone = self._members.pop(seen.interface)
                ports = {gone.port: gone.bridge}
            case LinkSeen() | LinkGone():
                member = self._members.get(seen.device)
                if isinstance(seen, LinkSeen):
                    self._links[seen.device] = seen.is_up and seen.has_carrier
                elif member is not None:
                    self._links[seen.device] = False
                else:
                    self._links.pop(seen.device, None)
                ports = {member.port: member.bridge} if member else {}
            case _:
                return ()
        return [said for port in ports for said in self._judge(port, ports[port], seen.at)]

    def wake(self, now: Instant) -> Iterable[Verdict]:
        return [self._said(turned, now) for turned in self._held.take(now)]

    def deadline(self) -> Instant | None:
        return self._held.first()

    def _judge(self, port: str, bridge: str, at: Instant) -> Iterator[Verdict]:
        members, lost = self._of(port), self._lost(port)
        if not members:
            if self._held.forget(port):
                yield _cleared(bridge, port, at, f"{port} is no bond of {bridge} any more")
            self._were_whole.discard(port)
            return
        if lost:
            self._held.bad(port, at, 0.0 if port in self._were_whole else self._never_worked_ms)
        else:
            self._were_whole.add(port)
            self._held.good(port, at)
        turns = list(self._held.take(at))
        is_said = port in self._held and bool(lost) and not turns
        if is_said and lost != self._said_of.get(port):
            turns.append(Turned(key=port, is_bad=True, since=at))
        yield from (self._said(turned, at) for turned in turns)

    def _of(self, port: str) -> list[InterfaceSeen]:
        return [each for each in self._members.values() if each.port == port]

    def _lost(self, port: str) -> list[str]:
        """The kernel knows of a link before the switch does; of the other end only LACP does."""
        return sorted(
            each.interface
            for each in self._of(port)
            if each.lacp == "lost" or not self._links.get(each.interface, each.link != "down")
        )

    def _said(self, turned: Turned, now: Instant) -> Verdict:
        port, members, lost = turned.key, self._of(turned.key), self._lost(turned.key)
        bridge = members[0].bridge
        self._said_of[port] = lost
        if not turned.is_bad:
            return _cleared(bridge, port, now, f"every member of {port} works")
        left = [each.interface for each in members if each.interface not in lost]
        rest = f"{', '.join(sorted(left))} carries on" if left else "none is left"
        return FaultRaised(
            detector="bond_member_lost",
            condition=CONDITION,
            subject=port_subject(bridge, port),
            effect=Effect.DEGRADED,
            certainty=Certainty.CERTAIN,
            fault_at=turned.since,
            not_before=None if port in self._were_whole else turned.since,
            detected_at=now,
            reason=f"{port} lost {', '.join(lost)}: {rest}",
            cause=f"no carrier, or no answer by LACP: {', '.join(lost)}",
        )


def _cleared(bridge: str, port: str, at: Instant, reason: str) -> FaultCleared:
    return FaultCleared(
        detector="bond_member_lost",
        condition=CONDITION,
        subject=port_subject(bridge, port),
        at=at,
        reason=reason,
    )


PLUGIN: type[Detector] = BondMemberLost
