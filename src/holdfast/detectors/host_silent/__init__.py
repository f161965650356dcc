"""A host is silent when its pulses stop on all planes; what that means, evidence tells.

Nobody is suspected while the ear doubts itself, while a pulse restarts as it said it would, or when
all hosts fall silent together: then it is this controller that is cut off. A host that said that it
stops is judged as any other: how long its silence is as planned, policy knows.
"""

from collections.abc import Iterable, Iterator

from holdfast.detectors.host_silent import evidence
from holdfast.detectors.host_silent.evidence import Meaning
from holdfast.detectors.host_silent.host import (
    DUMPING_MS,
    Host,
    dump_of,
    gasp_of,
    is_booting,
    refused_of,
)
from holdfast.facts.hearing import (
    DumpSeen,
    EarDoubted,
    EarTrusted,
    HostExpected,
    HostForgotten,
    LastGasp,
    Plan,
    PlaneHeard,
    PlaneSilent,
    PulseSaid,
    PulsesRefused,
    Sign,
    WitnessSpoke,
)
from holdfast.facts.instants import Instant, after, elapsed_ms, spoken
from holdfast.facts.observations import Observation
from holdfast.facts.subjects import Subject, SubjectKind
from holdfast.facts.verdicts import (
    Certainty,
    Effect,
    FaultCleared,
    FaultRaised,
    HostHeard,
    Verdict,
)
from holdfast.ports.detector import Detector
from holdfast.ports.dues import Dues

SEAT = "controller"
FRESH_MS = 120  # Who was heard so recently shows that this controller is not cut off.
TOGETHER_MS = 60  # Pulses of all hosts come within one period: so long until all are missed.
FRESH_LOOK_MS = 250  # After a doubt: whoever lives has been heard again by then.
NEVER_HEARD_MS = 10_000  # Who pulses here is expected that soon after this controller began.

DETECTOR = "host_silent"
CUT_OFF_HERE = "controller-cut-off"
CONTROLLER = Subject(kind=SubjectKind.HOLDFAST, id="controller", name="controller")


class HostSilent:
    def __init__(
        self,
        *,
        fresh_ms: float = FRESH_MS,
        together_ms: float = TOGETHER_MS,
        never_heard_ms: float = NEVER_HEARD_MS,
        fresh_look_ms: float = FRESH_LOOK_MS,
    ) -> None:
        self._fresh_ms, self._together_ms = fresh_ms, together_ms
        self._never_heard_ms, self._fresh_look_ms = never_heard_ms, fresh_look_ms
        self._hosts: dict[str, Host] = {}
        self._dues: Dues[str] = Dues()
        self._is_doubted = False
        self._is_cut_off = False

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case HostExpected():
                return self._expect(seen)
            case HostForgotten():
                return list(self._forget(seen))
            case PlaneHeard():
                return list(self._heard(seen))
            case PlaneSilent():
                return list(self._silent(seen))
            case PulseSaid():
                self._note_plan(seen)
            case LastGasp():
                host = self._host(seen.host)
                host.gasp = seen
                return list(self._weigh(host, seen.at))
            case DumpSeen():
                return list(self._dumps(self._host(seen.host), seen.at))
            case PulsesRefused():
                host = self._host(seen.host)
                host.refused = seen
                return list(self._weigh(host, seen.at))
            case WitnessSpoke():
                return list(self._take_sign(seen))
            case EarDoubted():
                self._is_doubted = True
            case EarTrusted():
                self._is_doubted = False
                self._look_afresh(seen.at)
            case _:
                pass
        return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        due = [self._hosts[name] for name in self._dues.take(now)]
        for host in due:
            if host.said is None and not host.was_heard and not host.heard:
                host.is_waiting = True
                host.last_life = max(host.last_life, Instant(0)) or now
        dumped = [said for host in due for said in self._weigh(host, now)]
        return [*dumped, *(self._judge_waiting(now) if due else ())]

    def deadline(self) -> Instant | None:
        return self._dues.first()

    # Who there is.

    def _host(self, name: str) -> Host:
        return self._hosts.setdefault(name, Host(name))

    def _expect(self, seen: HostExpected) -> list[Verdict]:
        host = self._host(seen.host)
        host.name, host.is_here = seen.name, seen.is_here
        if not host.is_expected and not host.was_heard:
            host.boot = host.boot or seen.boot
            self._dues.set(host.host, after(seen.at, self._never_heard_ms))
        host.is_expected = True
        return []

    def _forget(self, seen: HostForgotten) -> Iterator[Verdict]:
        host = self._hosts.pop(seen.host, None)
        self._dues.set(seen.host, None)
        if host is not None and host.said is not None:
            yield _cleared(host, host.boot, seen.at, f"{host.name} left the site")
        if self._is_cut_off and not self._missed():
            yield self._not_cut_off(seen.at, "the hosts that it did not hear have left the site")

    def _note_plan(self, seen: PulseSaid) -> None:
        host = self._host(seen.host)
        if seen.boot == host.boot:
            host.plan, host.plan_until = seen.plan, after(seen.at, seen.plan_limit_ms)

    # What is heard.

    def _heard(self, seen: PlaneHeard) -> Iterator[Verdict]:
        host = self._host(seen.host)
        if host.boot not in ("", seen.boot):
            yield from self._came_back(host, seen.at, seen.boot)
        if host.boot != seen.boot:  # Also an earlier one: the ear has judged which is current.
            host.begin_boot(seen.boot)
        yield from self._came_back(host, seen.at, seen.boot)
        was_silent = not host.heard
        host.heard.add(seen.plane)
        host.silent.discard(seen.plane)
        host.was_heard, host.is_waiting = True, False
        host.last_life, host.refused = seen.at, None
        host.signs.clear()
        self._dues.set(host.host, None)
        if was_silent:
            yield HostHeard(subject=host.subject(), boot=host.boot, at=seen.at)
        if self._is_cut_off and not host.is_here:
            yield self._not_cut_off(seen.at, f"this controller hears {host.name} again")

    def _came_back(self, host: Host, at: Instant, boot: str) -> Iterator[Verdict]:
        """What was raised is over, or (no new boot: it was never lost) is retracted."""
        said = host.said
        if said is None:
            return
        took = spoken(elapsed_ms(host.silent_since, at))
        is_new_boot = boot != host.boot and boot not in host.boots
        if is_new_boot:
            text = f"{host.name} is back in a new boot, {took} after it fell silent"
            reason = f"{text}: it had lost power, or was booted"
        elif boot != host.boot:
            text = f"{host.name} pulses in the boot of before"
            reason = f"{text}: what fell silent {took} ago pulsed under its identity"
        else:
            reason = f"{host.name} pulses again in the same boot: {_BACK[said.condition]} {took}"
        was_wrong = not is_new_boot and said.effect is Effect.GONE
        yield _cleared(host, host.boot, at, reason, was_wrong=was_wrong)
        host.end_silence()

    def _silent(self, seen: PlaneSilent) -> Iterator[Verdict]:
        host = self._host(seen.host)
        if seen.boot != host.boot:
            return
        host.heard.discard(seen.plane)
        host.silent.add(seen.plane)
        host.last_life = max(host.last_life, seen.last_heard)
        if host.heard or host.said is not None:
            return
        if not host.was_heard:
            return  # Since this controller began: it is given more time.
        host.is_waiting = True
        if host.plan is Plan.PULSE_RESTARTS and seen.at < host.plan_until:
            self._dues.set(host.host, host.plan_until)
            return
        newest = seen.newest_other
        is_fresh = newest is not None and elapsed_ms(newest, seen.at) < self._fresh_ms
        if host.is_here or is_fresh or not self._others(host):
            yield from self._judge(host, seen.at)
        else:
            self._dues.set(host.host, after(seen.at, self._together_ms))

    def _take_sign(self, seen: WitnessSpoke) -> Iterator[Verdict]:
        host = self._hosts.get(seen.host)
        if host is None or host.heard:
            return
        key = (seen.kind, seen.witness, seen.plane)
        if seen.sign is Sign.UNKNOWN or is_booting(host, seen):
            host.signs.pop(key, None)
        else:
            host.signs[key] = seen
        if seen.sign in (Sign.PULSE, Sign.KERNEL):
            host.last_life = max(host.last_life, seen.at)
        yield from self._weigh(host, seen.at)

    def _dumps(self, host: Host, at: Instant) -> Iterator[Verdict]:
        """Only of one that is silent: whoever lives writes none."""
        if host.said is None:
            return
        host.dumped_at = at
        self._dues.set(host.host, after(at, DUMPING_MS))
        yield from self._weigh(host, at)

    # What it means.

    def _others(self, host: Host) -> list[Host]:
        """Remote hosts besides this one that are not known to be lost."""
        return [
            other
            for other in self._hosts.values()
            if other is not host
            and not other.is_here
            and other.said is None
            and (other.heard or other.is_waiting)
            and other.plan is not Plan.HOST_STOPS
        ]

    def _missed(self) -> list[Host]:
        """Remote hosts that are silent, not as planned, and not judged yet."""
        waiting = (host for host in self._hosts.values() if host.is_waiting and not host.is_here)
        return [host for host in waiting if host.plan is not Plan.HOST_STOPS]

    def _look_afresh(self, at: Instant) -> None:
        """Whoever was not judged is judged when it has had the time to be heard."""
        for host in self._hosts.values():
            if host.is_waiting:
                self._dues.set(host.host, after(at, self._fresh_look_ms))

    def _judge_waiting(self, now: Instant) -> Iterator[Verdict]:
        """Those whose time has come; together they may say that it is we who are cut off."""
        remote = self._missed()
        hears_somebody = any(host.heard and not host.is_here for host in self._hosts.values())
        if self._is_doubted:
            return
        if len(remote) > 1 and not hears_somebody and not self._is_cut_off:
            self._is_cut_off = True
            yield self._cut_off(remote, now)
        for host in [one for one in self._hosts.values() if one.is_waiting]:
            if host.host not in self._dues:
                yield from self._judge(host, now)

    def _judge(self, host: Host, now: Instant) -> Iterator[Verdict]:
        if self._is_doubted or (self._is_cut_off and not host.is_here):
            return  # It goes on waiting.
        host.is_waiting = False
        host.silent_since, host.judged_at = host.last_life, now
        yield from self._weigh(host, now, is_first=True)

    def _weigh(self, host: Host, now: Instant, *, is_first: bool = False) -> Iterator[Verdict]:
        """Say what the silence means, if that is not what was said before."""
        if host.said is None and not is_first:
            return
        found = evidence.meaning(
            host.signs,
            host=host.host,
            gasp=gasp_of(host),
            is_here=host.is_here,
            was_ended=host.plan is Plan.PULSE_RESTARTS,
            refused=refused_of(host),
            dump=dump_of(host, now),
        )
        before, host.said = host.said, found
        is_same = before is not None and before.condition == found.condition
        was_refused = before is not None and evidence.UNBELIEVED in before.reason
        had_dump, host.told_dump = host.told_dump, dump_of(host, now)
        is_news = was_refused != (evidence.UNBELIEVED in found.reason)
        if is_same and not is_news and had_dump is host.told_dump:
            return
        yield self._raised(host, found, now)
        if before is not None and not is_same:
            reason = f"known better: {host.name} {found.reason}"
            yield _cleared(host, host.boot, now, reason, before.condition, was_wrong=found.lives)

    def _raised(self, host: Host, found: Meaning, now: Instant) -> FaultRaised:
        reason = f"{host.name} {found.reason}"
        if not host.was_heard and found.condition == evidence.LOST:
            reason = f"{host.name} has not been heard since this controller began"
        asked = {
            f"{spoke.kind} {spoke.witness or 'here'} {spoke.plane}".strip(): str(spoke.sign)
            for spoke in host.signs.values()
        }
        # The kernel that writes the dump is another: its answers are no life of the one before.
        is_lost = found.effect is Effect.GONE and found.condition != evidence.PANICKED
        unbelieved = {"refused": refused_of(host)} if refused_of(host) else {}
        dump = {"dump": str(host.told_dump)} if host.told_dump else {}
        return FaultRaised(
            detector=DETECTOR,
            condition=found.condition,
            subject=host.subject(),
            effect=found.effect,
            certainty=found.certainty,
            fault_at=host.last_life if is_lost else host.silent_since,
            detected_at=now,
            reason=reason,
            boot=host.boot,
            cause=found.cause,
            evidence={
                "planes": ", ".join(sorted(host.silent)) or "never heard",
                **asked,
                **unbelieved,
                **dump,
            },
        )

    def _cut_off(self, hosts: list[Host], now: Instant) -> FaultRaised:
        return FaultRaised(
            detector=DETECTOR,
            condition=CUT_OFF_HERE,
            subject=CONTROLLER,
            effect=Effect.DEGRADED,
            certainty=Certainty.SUSPECTED,
            fault_at=max(host.last_life for host in hosts),
            detected_at=now,
            reason=f"this controller hears none of its {len(hosts)} other hosts: it is cut off",
            cause="cut off here, or every other host is lost",
            evidence={"hosts": ", ".join(sorted(host.name for host in hosts))},
        )

    def _not_cut_off(self, at: Instant, reason: str) -> FaultCleared:
        self._is_cut_off = False
        self._look_afresh(at)
        return FaultCleared(
            detector=DETECTOR, condition=CUT_OFF_HERE, subject=CONTROLLER, at=at, reason=reason
        )


_BACK = {
    evidence.LOST: "it was not lost, but frozen or cut off for",
    evidence.PANICKED: "it did not panic, and was silent for",
    evidence.FROZEN: "it was frozen for",
    evidence.CUT_OFF: "it was cut off from here for",
    evidence.PULSE_AWAY: "its pulse was away for",
}


def _cleared(
    host: Host,
    boot: str,
    at: Instant,
    reason: str,
    condition: str = "",
    *,
    was_wrong: bool = False,
) -> FaultCleared:
    return FaultCleared(
        detector=DETECTOR,
        condition=condition or (host.said.condition if host.said else evidence.LOST),
        subject=host.subject(),
        at=at,
        reason=reason,
        boot=boot,
        was_wrong=was_wrong,
    )


PLUGIN: type[Detector] = HostSilent
