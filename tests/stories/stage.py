"""The stage: a simulated host, the real detectors and the real policy, in virtual time.

Whatever policy hears and does becomes a line with its virtual time; the laws of policy are checked
at every step.
"""

from collections import deque
from collections.abc import Callable

import msgspec

from holdfast.adapters.simulated.clock import Clock
from holdfast.adapters.simulated.host import SimulatedHost
from holdfast.agent.finding import found_gone
from holdfast.detectors.panel import Panel, make_panel
from holdfast.faces.pages.sentences import sentence
from holdfast.facts.actions import Action, TellIncident
from holdfast.facts.commands import Booted, Restarted, Told, Woke
from holdfast.facts.incidents import Incident
from holdfast.facts.instants import NS_PER_MS, NS_PER_S, Instant
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import FaultCleared, Verdict
from holdfast.policy.decide import Decider, Input
from holdfast.policy.world import VmRecord, World
from tests.policy.laws import Lawful
from tests.stories.executor import SimulatedExecutor

HOST_ID, HOST_NAME = "host-1", "alpha"


class Stage:
    """`said` are the lines since it was last emptied. `heard` may look at every input."""

    def __init__(self, heard: Callable[[Input, list[Action]], None] | None = None) -> None:
        self.clock = Clock()
        self.host = SimulatedHost(self.clock)
        self.lawful = Lawful()
        self.executor = SimulatedExecutor(self.host, self.hear, self.lawful.act)
        self.said: list[str] = []
        self.is_agent_up = False
        self._panel: Panel = make_panel()
        self._panel_due: Instant | None = None  # Asked once: only what it sees changes it.
        self._memory: bytes | None = None
        self._heard = heard
        self._last_told: dict[str, Incident] = {}
        self._waiting: deque[Input] = deque()
        self._is_consuming = False

    @property
    def world(self) -> World:
        return self.lawful.decider.world

    def record(self, name: str) -> VmRecord:
        """Raises KeyError for a VM that policy does not know."""
        return self.world.vms[self.host.vms[name].uuid]

    # The agent's life.

    def begin_agent(self, *, forgets: bool = False) -> None:
        """As the agent's own assembly begins: look first, then say what is new."""
        remembered = None if forgets else self._memory
        world = msgspec.json.decode(remembered, type=World) if remembered else None
        was_boot = world.boot if world else ""
        self.lawful.decider = Decider(world)
        self._panel = make_panel()
        self._panel_due = None
        self.executor.begin_anew()
        self.is_agent_up = True
        seen = self.host.look()
        boot, at = self.host.boot, self.host.now()
        left_at = self.world.now
        self.hear(
            Booted(
                at=at,
                host=HOST_ID,
                host_name=HOST_NAME,
                boot=boot,
                state_id="state-1",
                is_amnesiac=forgets,
            )
        )
        gone = found_gone(
            self.world,
            self.host.running(),
            boot,
            at,
            lambda life: left_at if life.boot == boot else at,
        )
        seen += [*gone, *self.host.logs(gone)]
        for observation in seen:
            self.see(observation)
        self.host.see = self.see
        if world is not None and was_boot == boot:
            self.hear(Restarted(at=self.host.now()))

    def kill_agent(self) -> None:
        self._memory = msgspec.json.encode(self.world)
        self.is_agent_up = False
        self.host.see = None
        self.executor.begin_anew()

    # What happens.

    def see(self, seen: Observation) -> None:
        verdicts = list(self._panel.observe(seen))
        self._panel_due = self._panel.deadline()
        for verdict in verdicts:
            self.hear(verdict)

    def hear(self, fact: Input) -> None:
        """Policy consumes one input. What comes of its actions within the turn waits its turn."""
        self._waiting.append(fact)
        if self._is_consuming:
            return
        self._is_consuming = True
        try:
            while self._waiting:
                self._turn(self._waiting.popleft())
        finally:
            self._is_consuming = False

    def _turn(self, fact: Input) -> None:
        if not self.is_agent_up:
            return
        assert not self._panel.defects, self._panel.last_defect
        name = self._name_in(fact)
        actions = self.lawful.step(fact)
        is_news = bool(actions) or not isinstance(fact, FaultCleared)
        if is_news and not isinstance(fact, Woke):
            self._say("<", fact, name)
        for action in actions:
            if not (isinstance(action, TellIncident) and self._is_told(action.incident)):
                self._say(">", action, self._name_in(action))
            self.executor.carry_out(action)
        if self._heard is not None:
            self._heard(fact, actions)

    def advance(self, ms: float) -> None:
        """Let that much time pass, and everything that is due in it happen, in order."""
        end = self.clock.now + round(ms * NS_PER_MS)
        while (due := self._next_due()) is not None and due[0] <= end:
            at, what = due
            self.clock.now = max(self.clock.now, at)
            what()
        self.clock.now = end

    def _next_due(self) -> tuple[int, Callable[[], None]] | None:
        dues: list[tuple[int, Callable[[], None]]] = []
        on_clock = self.clock.next_due()
        if on_clock is not None:
            dues.append((on_clock, self.clock.run_next))
        if self.is_agent_up:
            zero = self.host.at_zero()
            panel, policy = self._panel_due, self.lawful.deadline()
            if panel is not None:
                dues.append((panel + zero, self._wake_panel))
            if policy is not None:
                dues.append((policy + zero, self._wake_policy))
        return min(dues, key=lambda due: due[0], default=None)

    def _wake_panel(self) -> None:
        verdicts: list[Verdict] = list(self._panel.wake(self.host.now()))
        self._panel_due = self._panel.deadline()
        for verdict in verdicts:
            self.hear(verdict)

    def _wake_policy(self) -> None:
        self.hear(Woke(at=self.host.now()))

    # What is said of it.

    def _say(self, mark: str, fact: Input | Action, name: str) -> None:
        seconds = self.clock.now / NS_PER_S
        self.said.append(f"{seconds:9.3f} s  {mark} {sentence(fact, name)}")

    def _is_told(self, incident: Incident) -> bool:
        """Whether its sentence was said already: only a bundle or a cause was added since."""
        opened = msgspec.structs.replace(incident, step="", needs_you="")
        before = self._last_told.get(incident.id, opened)  # Its alarm has told the rest.
        self._last_told[incident.id] = incident
        fields = ("state", "step", "title", "needs_you")
        return all(getattr(before, field) == getattr(incident, field) for field in fields)

    def _name_in(self, fact: Input | Action) -> str:
        """The VM that a fact is about, by the name that it has now."""
        plain = msgspec.to_builtins(fact)
        if isinstance(plain.get("incident"), str):
            known = self.world.incidents.get(plain["incident"])
            return known.name if known else ""
        for field in ("life", "tenure", "protection", "incident", "subject"):
            inner = plain.get(field)
            if isinstance(inner, dict) and inner.get("subject"):
                return str(inner["name"])  # Of an incident that is about no VM.
            if isinstance(inner, dict):
                return self._by_uuid(inner.get("vm") or inner.get("id") or "")
        return self._by_uuid(plain.get("vm", "")) if isinstance(fact, Told) else ""

    def _by_uuid(self, uuid: str) -> str:
        vm = self.host.by_uuid(uuid)
        return vm.name if vm else uuid

    def at(self) -> Instant:
        return self.host.now()
