"""The laws of the policy of a site, checked at every step, from the facts and what came of them.

As laws.py for the VMs of a host: the keeper follows the facts with a model of its own.
"""

from holdfast.facts import site as told
from holdfast.facts.actions import Action, AskWitnesses, Report
from holdfast.facts.alarms import Alarm, AlarmState
from holdfast.facts.commands import Woke
from holdfast.facts.incidents import IncidentState
from holdfast.facts.instants import Instant
from holdfast.facts.site import SiteFact
from holdfast.facts.subjects import SubjectKind
from holdfast.facts.verdicts import Certainty, Effect, FaultRaised, HostHeard
from holdfast.policy.host_states import SILENT, HostState
from holdfast.policy.site import SiteDecider
from tests.policy.fence_laws import ActingLaws

OF_LOSS = ("host-lost", "host-frozen", "host-panicked", "racks-lost", "vm-on-lost-host")


class LawBroken(AssertionError):
    """Which law, by what, after which fact."""


class LawfulSite:
    """A SiteDecider whose every step is watched. Counts show that something happened."""

    def __init__(self, decider: SiteDecider | None = None) -> None:
        self.decider = decider or SiteDecider()
        self.steps = self.raised = self.cleared = self.asked = 0
        self._said: dict[str, Alarm] = {}
        self._heard: dict[str, str] = {}  # Host to the boot in which it pulses.
        self._term = 0
        self.acting = ActingLaws()

    def deadline(self) -> Instant | None:
        return self.decider.deadline()

    def step(self, fact: SiteFact) -> list[Action]:
        self.steps += 1
        match fact:
            case told.LeadChanged():
                self._term = fact.term
            case told.SiteBegan():
                self._term = 0
                self._heard.clear()
            case told.AlarmShared():
                self._note(fact.alarm)
            case HostHeard():
                self._heard[fact.subject.id] = fact.boot
            case FaultRaised() if fact.effect in (Effect.GONE, Effect.STUCK):
                self._heard.pop(fact.subject.id, None)
            case _:
                pass
        self.acting.follow(fact)
        actions = self.decider.step(fact)
        for action in actions:
            if laws := self.acting.broken(action):
                raise LawBroken(f"{'; '.join(laws)}: {action}\nafter {fact}")
            if isinstance(action, Report):
                self._judge_report(action.alarm, fact)
            self.asked += isinstance(action, AskWitnesses)
        self._judge_order(actions, fact)
        self._judge_world(fact)
        return actions

    def _note(self, alarm: Alarm) -> None:
        known = self._said.get(alarm.key)
        if known is None or known.revision < alarm.revision:
            self._said[alarm.key] = alarm

    def _judge_report(self, alarm: Alarm, fact: SiteFact) -> None:
        known = self._said.get(alarm.key)
        is_cleared = alarm.state is AlarmState.CLEARED
        is_own = alarm.subject.kind is SubjectKind.HOLDFAST and alarm.subject.id == "controller"
        is_same = known is not None and (known.revision, known.state) == (
            alarm.revision,
            alarm.state,
        )
        is_repeat = isinstance(fact, told.SiteBegan) and is_same
        is_leaders = known is not None and "term" in known.details and known.host != alarm.host
        was_open = known is not None and known.state is not AlarmState.CLEARED
        broken = {
            "revisions rise": known is not None
            and known.revision >= alarm.revision
            and not is_repeat,
            "only the leader changes what a leader said": was_open
            and is_leaders
            and not self._term
            and not is_own,
            "nothing is confirmed that may live": alarm.condition in OF_LOSS
            and alarm.certainty is Certainty.CERTAIN
            and not is_cleared
            and not self._is_proven(alarm),
            "only what is open is cleared": is_cleared and not was_open,
            "what changes is open": alarm.state is AlarmState.CHANGED and not was_open,
            "a leader signs what it says": bool(self._term) != ("term" in alarm.details)
            and not is_repeat,
        }
        laws = [law for law, is_broken in broken.items() if is_broken]
        if laws:
            raise LawBroken(f"{'; '.join(laws)}: {alarm}\nafter {fact}")
        self.raised += alarm.state is AlarmState.RAISED
        self.cleared += is_cleared
        self._note(alarm)

    def _is_proven(self, alarm: Alarm) -> bool:
        """Its host is dead by a committed proof; or the host is back, and the VM was given to
        another one by a proof about that boot."""
        if alarm.condition != "vm-on-lost-host":
            return self.acting.is_proven(alarm.subject.id)
        vm, _, boot = alarm.key.rpartition(":")[0].partition("/")
        host = alarm.root.partition("/")[0]
        return self.acting.is_proven(host) or self.acting.is_replaced(vm, boot)

    def _judge_order(self, actions: list[Action], fact: SiteFact) -> None:
        """Reports come first, and of them the root before what hangs below it."""
        is_report = [isinstance(action, Report) for action in actions]
        if is_report != sorted(is_report, reverse=True):
            raise LawBroken(f"reports come first: {actions}\nafter {fact}")
        opened: set[str] = set()
        for action in actions:
            if isinstance(action, Report) and action.alarm.state is AlarmState.RAISED:
                opened.add(action.alarm.key)
                root = action.alarm.root
                known = self.decider.world.reported.get(root)
                if root and root not in opened and (known is None or known.revision == 0):
                    raise LawBroken(f"{action.alarm.key} comes before its root\nafter {fact}")
        if not isinstance(fact, FaultRaised) or fact.effect is not Effect.GONE or not self._term:
            return
        record = self.decider.world.hosts[fact.subject.id]
        key = f"{record.host}/{fact.boot}:{fact.condition}"
        is_said = self.decider.world.is_open(key) or key in self.decider.world.held
        if record.state is HostState.LOST and not is_said:
            raise LawBroken(f"a loss is reported at once\nafter {fact}")

    def _judge_world(self, fact: SiteFact) -> None:
        world = self.decider.world
        if world.defects:
            raise LawBroken(f"an impossible step: {world.newest_defect}\nafter {fact}")
        for key, want in world.wanted.items():
            if self._term and not world.is_open(key) and key not in world.held:
                raise LawBroken(f"what is believed is said: {key}\nafter {fact}")
            if want.root and want.root not in world.wanted:
                raise LawBroken(f"{key} is without its root {want.root}\nafter {fact}")
        for record in world.hosts.values():
            self._judge_host(record.host, fact)
        due = self.deadline()
        if isinstance(fact, Woke) and due is not None and due <= world.now:
            raise LawBroken(f"woken, and wants to be woken at once again\nafter {fact}")

    def _judge_host(self, host: str, fact: SiteFact) -> None:
        world = self.decider.world
        record = world.hosts[host]
        is_silent = record.state in SILENT
        if is_silent and record.ask_at is None:
            raise LawBroken(f"{host} is silent and nobody is asked\nafter {fact}")
        if is_silent and not record.faults:
            raise LawBroken(f"{host} is silent for no reason\nafter {fact}")
        known = world.incidents.get(record.incident)
        if record.incident and (known is None or known.state is IncidentState.CLOSED):
            raise LawBroken(f"{host} has a closed incident\nafter {fact}")
        if is_silent and known is None:
            raise LawBroken(f"{host} is silent without an incident\nafter {fact}")
        if is_silent and record.page_at is None and known is not None and not known.needs_you:
            raise LawBroken(f"{host} is silent, and no person will hear of it\nafter {fact}")
        if self._heard.get(host) == record.boot:
            losses = [f for f in record.faults.values() if f.effect in (Effect.GONE, Effect.STUCK)]
            if losses or is_silent:
                raise LawBroken(f"{host} lives, and is said to be lost\nafter {fact}")
