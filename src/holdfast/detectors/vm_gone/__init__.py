"""A VM is gone when its QEMU ends and nobody wanted that; a wanted stop raises nothing.

Each life gathers what its witnesses say, in any order and any number of times; the judgement is a
function of what was gathered, and what is said is the difference between two judgements.
"""

from collections.abc import Iterable

from holdfast.detectors.vm_gone.judgement import (
    GONE,
    OUTSIDE,
    OUTSIDE_REASONS,
    UNEXPLAINED,
    Fault,
    Judgement,
    Life,
    Stop,
    Told,
    judge,
)
from holdfast.facts.hardware import PageOwnerKilled
from holdfast.facts.instants import NS_PER_MS, Instant, after, elapsed_ms
from holdfast.facts.observations import (
    CoreDumpBegan,
    DomainStateRead,
    LibvirtAnswered,
    LifecycleSeen,
    Observation,
    QemuLogRead,
    QemuProcessGone,
    QemuThreadEnded,
    QmpEventSeen,
    VmAppeared,
    VmFoundGone,
    VmRenamed,
)
from holdfast.facts.subjects import Incarnation, vm_subject
from holdfast.facts.verdicts import (
    Effect,
    FaultCleared,
    FaultRaised,
    StopWanted,
    Verdict,
    VmProcessEnded,
    VmRan,
)
from holdfast.ports.detector import Detector
from holdfast.ports.lives import LIVES_KEPT, Lives

CLEAN_END_WAIT_MS = 700  # libvirt needs 200 to 420 ms to say why; the report is due within 1 s.
EARLY_WORD_MS = 10_000  # An event that came before the end it tells of came just before it.
LATE_WORD_MS = 10_000  # Until then, what libvirt says may be about the life before the newest.
WATCHDOG_MS = 120_000  # A guest that lives on for so long did not end by its watchdog.
REMEMBERED_MS = 3_600_000  # A libvirt that hung for minutes may still explain an end.

SENTENCES = {
    GONE: "{name} is gone: {cause}",
    OUTSIDE: "{name} was ended from outside: {cause}",
    UNEXPLAINED: "{name} has {cause}",
}


class VmGone:
    def __init__(
        self,
        *,
        clean_end_wait_ms: float = CLEAN_END_WAIT_MS,
        early_word_ms: float = EARLY_WORD_MS,
        late_word_ms: float = LATE_WORD_MS,
        watchdog_ms: float = WATCHDOG_MS,
        remembered_ms: float = REMEMBERED_MS,
    ) -> None:
        self.clean_end_wait_ms = clean_end_wait_ms
        self.early_word_ms = early_word_ms
        self.late_word_ms = late_word_ms
        self.watchdog_ms = watchdog_ms
        self.remembered_ms = remembered_ms
        self._now = Instant(0)
        self._lives: Lives[Life] = Lives(lambda life: Life(life=life))
        self._early: dict[str, list[DomainStateRead]] = {}  # Of VMs with no life known yet.
        self._behind: set[str] = set()  # VMs whose libvirt events may be of the life before.
        self._started: set[str] = set()  # VMs whose next life libvirt has told of already.
        self._coming: set[str] = set()  # Of those: who come in from another host.

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        self._now = max(self._now, seen.at)
        match seen:
            case VmAppeared():
                return self._on_appeared(seen)
            case VmRenamed():
                self._lives.call(seen.vm, seen.name)
            case QemuThreadEnded():
                return self._on_sign(seen.incarnation, seen.at, seen.status)
            case QemuProcessGone():
                return self._on_process_gone(seen)
            case CoreDumpBegan():
                life = self._lives.of(seen.incarnation)
                life.core_signal = seen.signal
                return self._on_sign(seen.incarnation, seen.at, None)
            case VmFoundGone():
                return self._on_found_gone(seen)
            case QemuLogRead() | PageOwnerKilled():
                return self._on_word(seen)
            case LifecycleSeen() | DomainStateRead():
                return self._on_libvirt(seen)
            case QmpEventSeen():
                return self._on_qmp(seen)
            case LibvirtAnswered() if seen.after_gap:
                self._behind.clear()  # Events of before the gap come no more.
                self._coming.clear()
                for life in self._lives:
                    life.marks.pop("coming", None)  # It may have come meanwhile.
            case _:
                pass
        return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        self._now = max(self._now, now)
        verdicts: list[Verdict] = []
        for life in list(self._lives):
            if life.due is not None and life.due <= self._now:
                life.due = None
                life.is_overdue = True
                verdicts += self._settle(life)
                if life.said is None:
                    life.forget_sign()
            self._forget_if_old(life)
        return verdicts

    def deadline(self) -> Instant | None:
        return min((life.due for life in self._lives if life.due is not None), default=None)

    def _on_appeared(self, seen: VmAppeared) -> list[Verdict]:
        vm = seen.incarnation.vm
        before = self._lives.newest(vm)
        is_new = seen.incarnation not in self._lives
        was_started = vm in self._started
        life = self._lives.of(seen.incarnation)
        self._lives.call(vm, seen.name)
        self._early.pop(vm, None)
        self._started.discard(vm)
        if vm in self._coming:
            self._coming.discard(vm)
            life.mark("coming", seen.at)
        if is_new and before is not None:
            before.has_newer = True
            if before.signed_at is not None and not before.words and not was_started:
                self._behind.add(vm)
        if life.has_said_ran:
            return []
        life.has_said_ran = True
        return [VmRan(life=life.life, name=seen.name, at=seen.at, found=seen.found)]

    def _on_sign(self, which: Incarnation, at: Instant, status: int | None) -> list[Verdict]:
        """A first sign, or a further one: the first that is not zero counts."""
        life = self._lives.of(which)
        if life.signed_at is None:
            life.signed_at = at
            self._begin_wait(life)
            early_ns = self.early_word_ms * NS_PER_MS
            life.words = {w: told for w, told in life.words.items() if at - told <= early_ns}
        if status and not life.status:
            life.signed_at = at
        life.status = life.status or status
        return self._settle(life)

    def _on_process_gone(self, seen: QemuProcessGone) -> list[Verdict]:
        life = self._lives.of(seen.incarnation)
        if life.gone_at is None:
            life.gone_at = seen.at
            # The memory of a big VM is freed before libvirt can know: it has its time from here.
            self._begin_wait(life)
        verdicts = self._on_sign(seen.incarnation, seen.at, seen.status)
        if not life.has_said_ended:
            life.has_said_ended = True
            verdicts.append(VmProcessEnded(life=life.life, at=seen.at))
        return verdicts

    def _on_found_gone(self, seen: VmFoundGone) -> list[Verdict]:
        is_new = seen.incarnation not in self._lives
        life = self._lives.of(seen.incarnation)
        self._lives.call(seen.incarnation.vm, seen.name)
        if life.found is None and life.said is None:
            life.found = seen
            life.signed_at = life.signed_at or seen.at
            self._begin_wait(life)
            for read in self._early.pop(seen.incarnation.vm, []) if is_new else []:
                life.take_word(read.reason, read.at)
        return self._settle(life)

    def _on_lost_page(self, seen: PageOwnerKilled) -> list[Verdict]:
        """Whose QEMU it was may die of it, and may go on: its guest was told then."""
        lost = [life for life in self._lives if life.life.pid == seen.pid and seen.pid]
        for life in lost[-1:]:
            life.mark("page-lost", seen.at)
            return self._settle(life)
        return []

    def _on_word(self, seen: QemuLogRead | PageOwnerKilled) -> list[Verdict]:
        return self._on_log(seen) if isinstance(seen, QemuLogRead) else self._on_lost_page(seen)

    def _on_log(self, seen: QemuLogRead) -> list[Verdict]:
        """The log is about this very life, and tells the reason as libvirt would."""
        life = self._lives.of(seen.incarnation)
        life.log = seen
        life.take_word(seen.reason, seen.at)
        return self._settle(life)

    def _on_libvirt(self, seen: LifecycleSeen | DomainStateRead) -> list[Verdict]:
        if isinstance(seen, LifecycleSeen) and seen.event == "started":
            self._behind.discard(seen.vm)
            if len(self._started) < LIVES_KEPT:
                self._started.add(seen.vm)
                self._note_coming(seen)
            return []
        life = self._meant(seen.vm)
        if life is None:
            if isinstance(seen, DomainStateRead) and len(self._early) < LIVES_KEPT:
                self._early.setdefault(seen.vm, [])[:] = [seen]
            return []
        if isinstance(seen, DomainStateRead):
            event, detail = seen.state, seen.reason
        else:
            event, detail = seen.event, seen.detail
        if event in ("stopped", "shut off"):
            life.take_word(detail, seen.at)
        elif (event, detail) == ("crashed", "panicked"):
            life.mark("panicked", seen.at)
        elif (event, detail) == ("shutdown", "guest"):
            life.mark("guest-shutdown", seen.at)
        elif (event, detail) == ("shutdown", "host"):
            life.outside = life.outside or OUTSIDE_REASONS["host-signal"]
        return self._settle(life)

    def _note_coming(self, seen: LifecycleSeen) -> None:
        """Of the life that runs, or of the next one where its process was not seen yet."""
        if seen.detail != "migrated":
            return
        life = self._lives.newest(seen.vm)
        if life is not None and life.signed_at is None:
            life.mark("coming", seen.at)
        else:
            self._coming.add(seen.vm)

    def _on_qmp(self, seen: QmpEventSeen) -> list[Verdict]:
        life = self._meant(seen.vm)
        if life is None:
            return []
        details = seen.details()
        match seen.event:
            case "SHUTDOWN":
                life.take_shutdown(details, seen.at)
            case "MIGRATION" if details.get("status") == "completed":
                life.mark("migrated", seen.at)
            case "GUEST_PANICKED":
                life.mark("panicked", seen.at)
            case "GUEST_CRASHLOADED":
                life.mark("crash-dumping", seen.at)
            case "WATCHDOG" if details.get("action") in ("poweroff", "shutdown"):
                life.mark("watchdog", seen.at)
            case "RESET" | "RESUME":
                life.mark(seen.event, seen.at)
            case _:
                return []
        return self._settle(life)

    def _meant(self, vm: str) -> Life | None:
        """The newest life, but for words that come late, after the next life has begun."""
        lives = self._lives.all_of(vm)
        if not lives:
            return None
        newest = lives[-1]
        if vm not in self._behind or len(lives) < 2 or newest.signed_at is not None:
            return newest
        ended_at = lives[-2].signed_at
        is_late = ended_at is not None and elapsed_ms(ended_at, self._now) <= self.late_word_ms
        return lives[-2] if is_late else newest

    def _begin_wait(self, life: Life) -> None:
        if life.said is None:
            life.due = after(self._now, self.clean_end_wait_ms)
            life.is_overdue = False

    def _settle(self, life: Life) -> list[Verdict]:
        judgement = judge(life, self.watchdog_ms)
        if life.words and life.signed_at is not None:
            self._behind.discard(life.life.vm)
        if judgement is None or judgement == life.said:
            return []
        before, life.said = life.said, judgement
        life.due = None
        if isinstance(judgement, Told) and before is not None:
            life.said = before
            return []
        verdicts = self._change(life, before, judgement)
        if life.found is not None and not life.has_said_ended:
            life.has_said_ended = True
            verdicts.append(VmProcessEnded(life=life.life, at=life.found.at))
        return verdicts

    def _change(self, life: Life, before: Judgement | None, now: Judgement) -> list[Verdict]:
        """What is said when one judgement takes the place of another.

        A retraction comes before the stop that explains it, but after the fault that takes its
        place: so that at no time the VM seems to be well.
        """
        if isinstance(now, Told):
            return []
        retracted: list[Verdict] = []
        if isinstance(before, Fault) and before.condition != getattr(now, "condition", ""):
            retracted.append(self._cleared(life, before, now))
        if isinstance(now, Fault):
            return [self._raised(life, now), *retracted]
        if isinstance(before, Stop) and before.moved_away == now.moved_away:
            return []
        return [*retracted, _stopped(life, now, self._now)]

    def _raised(self, life: Life, fault: Fault) -> FaultRaised:
        name = self._lives.name(life.life.vm)
        not_before = life.found.last_seen if life.found else None
        return FaultRaised(
            detector="vm_gone",
            condition=fault.condition,
            subject=vm_subject(life.life.vm, name),
            effect=Effect.GONE,
            certainty=fault.certainty,
            fault_at=life.signed_at or self._now,
            detected_at=self._now,
            reason=SENTENCES[fault.condition].format(name=name, cause=fault.cause),
            life=life.life,
            not_before=not_before,
            cause=fault.cause,
            evidence=life.evidence(),
        )

    def _cleared(self, life: Life, fault: Fault, now: Fault | Stop) -> FaultCleared:
        return FaultCleared(
            detector="vm_gone",
            condition=fault.condition,
            subject=vm_subject(life.life.vm, self._lives.name(life.life.vm)),
            at=self._now,
            reason=now.reason if isinstance(now, Stop) else now.cause,
            life=life.life,
            was_wrong=True,
        )

    def _forget_if_old(self, life: Life) -> None:
        is_settled = life.said is not None and life.signed_at is not None
        if is_settled and elapsed_ms(life.signed_at or self._now, self._now) > self.remembered_ms:
            self._lives.forget(life.life)
            self._behind.discard(life.life.vm)


def _stopped(life: Life, stop: Stop, now: Instant) -> StopWanted:
    return StopWanted(
        life=life.life,
        at=life.signed_at or now,
        how=stop.how,
        reason=stop.reason,
        moved_away=stop.moved_away,
    )


PLUGIN: type[Detector] = VmGone
