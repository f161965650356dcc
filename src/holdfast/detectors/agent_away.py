"""An agent is away when its link broke, or its word grew stale, while its host goes on pulsing."""

from collections.abc import Iterable, Iterator

from holdfast.facts.hearing import (
    HostExpected,
    HostForgotten,
    Layer,
    LayerState,
    LinkChanged,
    Plan,
    PlaneHeard,
    PlaneSilent,
    PulseSaid,
)
from holdfast.facts.instants import Instant, after
from holdfast.facts.observations import Observation
from holdfast.facts.subjects import Subject, SubjectKind
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised, Verdict
from holdfast.ports.detector import Detector
from holdfast.ports.dues import Dues

SEAT = "controller"
AWAY_MS = 500  # A link that is back so soon was only renewed.
# After a machine stood still as a whole, its pulse runs before its agent, and says once or twice
# that the agent's word is old.
STALE_AGAIN_MS = 150
WELL_MS = 8_000  # As long as its own word is well, a link may take that long to come back.
STARTS_MS = 60_000  # After a boot, or since this controller began, until it has come up.
CONDITION = "agent-away"

_BAD = (LayerState.STALE, LayerState.ILL)
_EXPECTED = (LayerState.RESTARTING, LayerState.STOPPED)


class _Agent:
    def __init__(self, host: str) -> None:
        self.host = self.name = host
        self.boot = ""
        self.heard: set[str] = set()
        self.heard_at = Instant(0)  # Since when, without a break.
        self.word = LayerState.UNKNOWN
        self.bad_at = Instant(0)  # Since when its word is a bad one, where it is.
        self.is_stopping = False
        self.link_boot = ""  # Of the agent that is linked now, or empty.
        self.is_linked = self.was_linked = False  # Now; in this boot.
        self.link_lost_at: Instant | None = None
        self.due: Instant | None = None
        self.is_away = False
        self.run = ("", "")  # Which boot and start of it was linked last.
        # Its pulse said that it ends on purpose, since that link: agents of the version before
        # say it nowhere else.
        self.has_planned = False

    def why(self, now: Instant) -> str:
        """Why it is away by now, or empty. `due` is set where time alone may tell more."""
        self.due = None
        if not self.heard or self.word in _EXPECTED or self.is_stopping:
            return ""
        if self.word in _BAD:  # Its host may have been frozen with it: then it goes on, too.
            due = max(after(self.heard_at, AWAY_MS), after(self.bad_at, STALE_AGAIN_MS))
            why = "is dead or stuck: its host hears no word"
        elif self.link_lost_at is None:
            return ""
        elif self.word is LayerState.WELL and self.was_linked:
            due = after(max(self.link_lost_at, self.heard_at), WELL_MS)
            why = "is not linked to this controller, though it lives"
        elif self.was_linked:
            due, why = after(max(self.link_lost_at, self.heard_at), AWAY_MS), "left its link"
        else:  # This controller may boot as well, and take no link yet.
            lives = self.word is LayerState.WELL
            why = (
                "is not linked to this controller, though it lives" if lives else "has not come up"
            )
            due = after(self.link_lost_at, STARTS_MS)
        if due <= now:
            return why
        self.due = due
        return ""


class AgentAway:
    def __init__(self) -> None:
        self._agents: dict[str, _Agent] = {}
        self._dues: Dues[str] = Dues()  # Those that time alone may tell more of.

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case HostExpected():
                self._agent(seen.host).name = seen.name
                return ()
            case HostForgotten():
                agent = self._agents.pop(seen.host, None)
                self._dues.set(seen.host, None)
                if agent is None or not agent.is_away:
                    return ()
                return [self._cleared(agent, agent.boot, seen.at, "its host left the site")]
            case PlaneHeard() | PlaneSilent() | PulseSaid() | LinkChanged():
                return list(self._take(seen))
            case _:
                return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        due = [self._agents[host] for host in self._dues.take(now)]
        return [verdict for agent in due for verdict in self._judge(agent, now)]

    def deadline(self) -> Instant | None:
        return self._dues.first()

    def _agent(self, host: str) -> _Agent:
        return self._agents.setdefault(host, _Agent(host))

    def _take(self, seen: PlaneHeard | PlaneSilent | PulseSaid | LinkChanged) -> Iterator[Verdict]:
        agent = self._agent(seen.host)
        match seen:
            case PlaneHeard():
                if agent.boot not in ("", seen.boot):
                    yield from self._begin_boot(agent, seen.boot, seen.at)
                agent.boot = seen.boot
                if not agent.heard:
                    agent.heard_at = seen.at
                if not agent.is_linked and agent.link_lost_at is None:
                    agent.link_lost_at = seen.at
                agent.heard.add(seen.plane)
            case PlaneSilent():
                agent.heard.discard(seen.plane)
            case PulseSaid():
                word = seen.layers.get(Layer.AGENT, LayerState.UNKNOWN)
                if word in _BAD and agent.word not in _BAD:
                    agent.bad_at = seen.at
                agent.word = word
                agent.has_planned |= agent.word in _EXPECTED
                agent.is_stopping = seen.plan is Plan.HOST_STOPS
            case LinkChanged():
                yield from self._note_run(agent, seen)
                agent.is_linked, agent.link_boot = seen.is_up, seen.boot if seen.is_up else ""
                agent.was_linked |= seen.is_up
                agent.link_lost_at = None if seen.is_up else seen.at
        yield from self._judge(agent, seen.at)

    def _note_run(self, agent: _Agent, seen: LinkChanged) -> Iterator[Verdict]:
        """Dead and started again before anybody could miss it: that is told all the same."""
        if not seen.is_up or not seen.run:
            return
        run, before = (seen.boot, seen.run), agent.run
        is_another = before[0] == seen.boot and before != run
        is_planned = seen.was_planned or agent.has_planned or agent.is_stopping
        if is_another and not (is_planned or agent.is_away):
            yield self._raised(agent, seen.at, "ended, and was started again")
            yield self._cleared(agent, agent.boot, seen.at, "it is back")
        agent.run, agent.has_planned = run, False

    def _begin_boot(self, agent: _Agent, boot: str, at: Instant) -> Iterator[Verdict]:
        if agent.is_away:
            agent.is_away = False
            yield self._cleared(agent, agent.boot, at, "its host was booted since")
        agent.heard.clear()
        agent.word, agent.is_stopping, agent.link_lost_at = LayerState.UNKNOWN, False, None
        # Where a pulse takes its time, the agent of the new boot is linked before it is heard.
        # And after a clone has pulsed for a while, the link of before still stands.
        agent.is_linked = agent.was_linked = agent.link_boot == boot

    def _judge(self, agent: _Agent, now: Instant) -> Iterator[Verdict]:
        why = agent.why(now)
        self._dues.set(agent.host, agent.due)
        if why and not agent.is_away:
            agent.is_away = True
            yield self._raised(agent, now, why)
        is_back = agent.link_lost_at is None and agent.word not in _BAD and bool(agent.heard)
        if agent.is_away and is_back:
            agent.is_away = False
            yield self._cleared(agent, agent.boot, now, "it is back")

    def _subject(self, agent: _Agent) -> Subject:
        name = f"the agent of {agent.name}"
        return Subject(kind=SubjectKind.HOLDFAST, id=agent.host, name=name)

    def _raised(self, agent: _Agent, now: Instant, why: str) -> Verdict:
        return FaultRaised(
            detector="agent_away",
            condition=CONDITION,
            subject=self._subject(agent),
            effect=Effect.DEGRADED,
            certainty=Certainty.CERTAIN,
            fault_at=agent.link_lost_at if agent.link_lost_at is not None else now,
            detected_at=now,
            reason=f"{agent.name} pulses, yet its agent {why}",
            boot=agent.boot,
            cause=f"the agent {why}",
            evidence={"its own word": str(agent.word)},
        )

    def _cleared(self, agent: _Agent, boot: str, at: Instant, reason: str) -> Verdict:
        return FaultCleared(
            detector="agent_away",
            condition=CONDITION,
            subject=self._subject(agent),
            at=at,
            reason=f"the agent of {agent.name}: {reason}",
            boot=boot,
        )


PLUGIN: type[Detector] = AgentAway
