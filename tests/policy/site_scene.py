"""A small site for the policy of sites: facts by name, what was said as short lines."""

from collections.abc import Iterator

import msgspec

from holdfast.facts import site as told
from holdfast.facts.actions import Action, AskWitnesses, Report, TellIncident
from holdfast.facts.alarms import Alarm, AlarmState
from holdfast.facts.commands import IncidentSettled, Woke
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.site import HostVm, SiteFact
from holdfast.facts.subjects import Subject, SubjectKind
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised, HostHeard
from holdfast.policy.site import SiteDecider
from holdfast.policy.site_world import SiteWorld
from tests.policy.site_laws import LawfulSite

EFFECTS = {
    "host-lost": Effect.GONE,
    "host-panicked": Effect.GONE,
    "host-frozen": Effect.STUCK,
    "host-stopping": Effect.DOOMED,
    "host-cut-off": Effect.DEGRADED,
    "host-plane-lost": Effect.DEGRADED,
    "agent-away": Effect.DEGRADED,
    "controller-cut-off": Effect.DEGRADED,
}
SHORT = {AlarmState.RAISED: "+", AlarmState.CHANGED: "~", AlarmState.CLEARED: "-"}


def at(ms: float) -> Instant:
    return Instant(int(ms * NS_PER_MS))


def boot_of(host: str, number: int = 1) -> str:
    return f"{host}b{number}"


def subject_of(host: str, condition: str) -> Subject:
    if condition.startswith("controller"):
        return Subject(kind=SubjectKind.HOLDFAST, id="controller", name="controller")
    if condition == "agent-away":
        return Subject(kind=SubjectKind.HOLDFAST, id=host, name=f"the agent of {host}")
    return Subject(kind=SubjectKind.HOST, id=host, name=host)


class SiteScene:
    """`ms` is now. `leads=False`: another controller leads."""

    def __init__(self, *, leads: bool = True, name: str = "c1", hosts: int = 3) -> None:
        self.lawful = LawfulSite()
        self.ms = 0.0
        self.give(told.SiteBegan(at=at(0), controller=name, boot="cb1"))
        if leads:
            self.lead(1)
        for number in range(1, hosts + 1):
            host = f"h{number}"
            rack = "A" if number < 3 else "B"
            self.give(told.HostSet(at=at(0), host=host, name=host, rack=rack))
            self.heard(host)
            self.vms(host, f"web{number}")

    @property
    def world(self) -> SiteWorld:
        return self.lawful.decider.world

    def give(self, fact: SiteFact) -> list[str]:
        return list(short(self.lawful.step(fact)))

    def lead(self, term: int) -> list[str]:
        return self.give(told.LeadChanged(at=at(self.ms), term=term))

    def heard(self, host: str, boot: int = 1) -> list[str]:
        subject = subject_of(host, "")
        return self.give(HostHeard(subject=subject, boot=boot_of(host, boot), at=at(self.ms)))

    def vms(self, host: str, *names: str, boot: int = 1) -> list[str]:
        vms = tuple(HostVm(vm=name, name=name) for name in names)
        now = at(self.ms)
        return self.give(told.VmsSet(at=now, host=host, boot=boot_of(host, boot), vms=vms))

    def wrong(
        self,
        host: str,
        condition: str,
        boot: int = 1,
        text: str = "",
        evidence: dict[str, str] | None = None,
    ) -> list[str]:
        is_sure = EFFECTS[condition] in (Effect.DEGRADED, Effect.DOOMED)
        is_own = condition.startswith("controller")
        fault = FaultRaised(
            detector="test",
            condition=condition,
            subject=subject_of(host, condition),
            effect=EFFECTS[condition],
            certainty=Certainty.CERTAIN if is_sure else Certainty.SUSPECTED,
            fault_at=at(self.ms - 200),
            detected_at=at(self.ms),
            reason=text or f"{host} has {condition}",
            boot="" if is_own else boot_of(host, boot),
            cause="a cause",
            evidence=evidence or {},
        )
        return self.give(fault)

    def right(
        self, host: str, condition: str, boot: int = 1, *, was_wrong: bool = False
    ) -> list[str]:
        is_own = condition.startswith("controller")
        fault = FaultCleared(
            detector="test",
            condition=condition,
            subject=subject_of(host, condition),
            at=at(self.ms),
            reason=f"{host} is well",
            boot="" if is_own else boot_of(host, boot),
            was_wrong=was_wrong,
        )
        return self.give(fault)

    def share(self, alarm: Alarm) -> list[str]:
        return self.give(told.AlarmShared(at=at(self.ms), alarm=alarm))

    def settle(self, incident: str) -> list[str]:
        return self.give(IncidentSettled(at=at(self.ms), incident=incident, by="ann"))

    def wait(self, ms: float) -> list[str]:
        """Let time pass; it is woken exactly when it asks to be."""
        end = self.ms + ms
        said: list[str] = []
        while (due := self.lawful.deadline()) is not None and due <= at(end):
            self.ms = max(self.ms, due / NS_PER_MS)
            said += self.give(Woke(at=at(self.ms)))
        self.ms = end
        return said

    def reborn(self) -> None:
        """As after kill -9: the world comes from its snapshot."""
        kept, acting = msgspec.json.encode(self.world), self.lawful.acting
        self.lawful = LawfulSite(SiteDecider(msgspec.json.decode(kept, type=SiteWorld)))
        for alarm in self.world.reported.values():
            self.lawful._note(alarm)
        self.lawful.acting = acting

    def begin_again(self, name: str = "c1") -> None:
        """As after a restart of the controller in the same boot."""
        self.give(told.SiteBegan(at=at(self.ms), controller=name, boot="cb1"))

    def open(self) -> list[str]:
        return sorted(_name(a) for key, a in self.world.reported.items() if self.world.is_open(key))


def short(actions: list[Action]) -> Iterator[str]:
    """`+ host-lost h1`, `- vm-on-lost-host web1 < host-lost`, `incident h1-xxxx open`, `ask h1`."""
    for action in actions:
        match action:
            case Report():
                root = action.alarm.root.rpartition(":")[2]
                below = f" < {root}" if root else ""
                yield f"{SHORT[action.alarm.state]} {_name(action.alarm)}{below}"
            case TellIncident():
                needs = ", needs a person" if action.incident.needs_you else ""
                yield f"incident of {action.incident.host} {action.incident.state}{needs}"
            case AskWitnesses():
                yield f"ask {action.host}"
            case _:
                raise AssertionError(f"it does more than report: {action}")


def _name(alarm: Alarm) -> str:
    return f"{alarm.condition} {alarm.subject.id}"
