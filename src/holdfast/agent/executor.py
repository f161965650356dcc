"""Carries out what policy decided for this host, and tells policy what came of it.

An action is started within the turn that decided it; what takes time is a task of its own, so
that no VM waits for another. Starts are bounded: a hundred VMs at once would boot none in time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from holdfast.agent.answers import Answers
from holdfast.agent.loop import now
from holdfast.facts import actions as act
from holdfast.facts import outcomes as came
from holdfast.facts.actions import Action
from holdfast.facts.instants import NS_PER_S
from holdfast.facts.outcomes import Outcome
from holdfast.facts.subjects import Incarnation, Subject
from holdfast.facts.tenure import TenureState, Wanted
from holdfast.ports.hypervisor import CallFailed, CallOverran, Domain, Hypervisor

log = logging.getLogger(__name__)

STARTS_AT_ONCE = 8
PROOFS_AT_ONCE = 16
PROOF_KEPT_NS = 2 * NS_PER_S  # An older proof is made again before a start.
END_SEEN_WAIT_S = 0.3  # libvirt takes some 200 ms to see that a process ended.
ENDED_STATES = {"shut off", "crashed"}
# Not "shutdown": libvirt says that of a kill -TERM and of a watchdog's power-off too.
WANTED_REASONS = {"destroyed", "migrated", "saved"}


Failed = came.GoneNotProven | came.LastWordsFailed | came.VmNotEnded | came.StartUnknown


async def no_mender(asked: act.TryRepair) -> Outcome:
    """Where nobody can mend anything."""
    reason = "this host has no menders"
    return came.StepFailed(
        incident=asked.incident, at=now(), key=asked.key, number=asked.number, reason=reason
    )


class Capture(Protocol):
    async def __call__(self, asked: act.CaptureLastWords) -> Outcome: ...


class Uplink(Protocol):
    def report(self, action: act.Report) -> None: ...

    def tell_tenure(self, action: act.TellTenure) -> None: ...

    def tell_incident(self, action: act.TellIncident) -> None: ...


class Executor:
    """`consume` gives policy the outcome. `await_end` waits for libvirt's word on a VM's end.

    `may_start` asks policy, at the last moment, why a start must not happen any more. `is_kept`
    waits until what permits the start of a VM is on the disk, or cannot be written.
    """

    def __init__(
        self,
        *,
        hypervisor: Hypervisor,
        uplink: Uplink,
        answers: Answers,
        capture: Capture,
        await_end: Callable[[str, float], Coroutine[Any, Any, None]],
        host: str,
        boot: str,
        may_start: Callable[[act.RestartHere], str],
        consume: Callable[[Outcome], None],
        is_kept: Callable[[str], Awaitable[bool]],
        mend: Callable[[act.TryRepair], Coroutine[Any, Any, Outcome]] = no_mender,
        look_again: Callable[[Subject], None] = lambda _: None,
    ) -> None:
        self._hypervisor = hypervisor
        self._uplink = uplink
        self._answers = answers
        self._capture = capture
        self._await_end = await_end
        self._host, self._boot = host, boot
        self._may_start = may_start
        self._consume = consume
        self._is_kept = is_kept
        self._mend, self._look_again = mend, look_again
        self._starts = asyncio.Semaphore(STARTS_AT_ONCE)
        self._proofs = asyncio.Semaphore(PROOFS_AT_ONCE)
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._hopeless: set[str] = set()  # Incidents whose proof can never be had: logged once.

    def carry_out(self, action: Action) -> None:
        match action:
            case act.Report():
                self._uplink.report(action)
            case act.TellTenure():
                self._uplink.tell_tenure(action)
            case act.TellIncident():
                self._uplink.tell_incident(action)
            case act.CaptureLastWords():
                self._spawn(
                    self._or_say(self._capture_words(action), came.LastWordsFailed, action.incident)
                )
            case act.ProveGone():
                self._spawn(self._or_say(self._prove(action), came.GoneNotProven, action.incident))
            case act.EndVm():
                self._spawn(self._or_say(self._end(action), came.VmNotEnded, action.incident))
            case act.RestartHere():
                self._spawn(self._or_say(self._start(action), came.StartUnknown, action.incident))
            case act.AwaitAnswer():
                self._await_answer(action)
            case act.TryRepair():
                self._spawn(self._try_repair(action), "a repair")
            case act.LookAgain():
                self._look_again(action.subject)
            case (
                act.PutFence()
                | act.SwitchOff()
                | act.PutRecovery()
                | act.RestartElsewhere()
                | act.TakeBack()
                | act.PutMigration()
                | act.Migrate()
                | act.LookAtEnds()
                | act.TellEnds()
                | act.AskWitnesses()
            ):
                log.error("refused: %s has its seat at a controller", type(action).__name__)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _or_say(
        self, work: Coroutine[Any, Any, None], failed: type[Failed], incident: str
    ) -> None:
        """A defect of ours must not leave policy waiting for an outcome that never comes."""
        try:
            await work
        except Exception as error:
            log.exception("%s: a defect of ours", failed.__name__)
            self._consume(failed(incident=incident, at=now(), reason=f"a defect: {error}"))

    def _spawn(
        self, work: Coroutine[Any, Any, None], what: str = "an action"
    ) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = what
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        what = self._tasks.pop(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("%s: a defect of ours", what, exc_info=task.exception())

    async def _try_repair(self, asked: act.TryRepair) -> None:
        self._consume(await self._mend(asked))

    async def _capture_words(self, asked: act.CaptureLastWords) -> None:
        self._consume(await self._capture(asked))

    async def _prove(self, asked: act.ProveGone) -> None:
        """Libvirt must have seen the end too: it would refuse to start what it thinks runs."""
        async with self._proofs:
            try:
                domain = await self._stopped_domain(asked.life.vm)
                proof = await self._hypervisor.prove_gone(
                    asked.life, asked.name, is_copy=asked.is_copy
                )
            except CallFailed as error:
                reason = str(error)
                if error.is_final and asked.incident not in self._hopeless:
                    self._hopeless.add(asked.incident)
                    log.warning("%s: its end cannot be proven: %s", asked.name, reason)
                failed = came.GoneNotProven(incident=asked.incident, at=now(), reason=reason)
                self._consume(failed)
                return
        wanted = ""
        if domain is not None and domain.reason in WANTED_REASONS:
            wanted = f"libvirt says {domain.reason}"
        self._consume(
            came.GoneProven(incident=asked.incident, at=now(), proof=proof, wanted=wanted)
        )

    async def _stopped_domain(self, vm: str) -> Domain | None:
        """The domain as libvirt has it once it saw the end; None if it has none (transient)."""
        domain = await self._domain(vm)
        if domain is not None and domain.state not in ENDED_STATES:
            await self._await_end(vm, END_SEEN_WAIT_S)
            domain = await self._domain(vm)
        if domain is not None and domain.state not in ENDED_STATES:
            raise CallFailed(f"libvirt still says {domain.state}")
        return domain

    async def _domain(self, vm: str) -> Domain | None:
        try:
            return await self._hypervisor.domain(vm)
        except CallFailed as error:
            if error.is_final:
                return None
            raise

    async def _end(self, asked: act.EndVm) -> None:
        try:
            await self._hypervisor.end(asked.life, is_forced=asked.is_forced)
        except CallFailed as error:
            reason = str(error)
            self._consume(came.VmNotEnded(incident=asked.incident, at=now(), reason=reason))
            return
        self._consume(came.VmEnded(incident=asked.incident, at=now(), life=asked.life))

    async def _start(self, asked: act.RestartHere) -> None:
        """Libvirt not answering in time is no failure: the VM may start at any moment."""
        async with self._starts:
            if not await self._is_kept(asked.tenure.vm):
                reason = "the order to start it could not be written to the disk"
                self._consume(self._not_started(asked, reason, is_final=True))
                return
            try:
                refusal = await self._rebuild(asked) or await self._look_once_more(asked)
                if refusal:
                    self._consume(self._not_started(asked, refusal, is_final=False))
                    return
                life = await self._hypervisor.start(asked.tenure.vm)
            except CallOverran as error:
                unknown = came.StartUnknown(incident=asked.incident, at=now(), reason=str(error))
                self._consume(unknown)
                return
            except CallFailed as error:
                self._consume(self._not_started(asked, str(error), is_final=error.is_final))
                return
        self._consume(came.VmStarted(incident=asked.incident, at=now(), life=life))

    async def _rebuild(self, asked: act.RestartHere) -> str:
        """Disks that are lost with another host. Why it must not start, or empty. Raises
        CallFailed."""
        refusal = self._refusal(asked)
        if refusal or asked.rebuild is None:
            return refusal
        try:
            await self._hypervisor.rebuild(asked.tenure.vm, asked.rebuild)
        except CallOverran as error:  # It is no start: what was half made is made again.
            return f"its disks are not made anew yet: {error}"
        return ""

    async def _look_once_more(self, asked: act.RestartHere) -> str:
        """Why the VM must not start, or empty: asked when its turn came, which may be minutes
        after policy decided. Policy has the last word, with nothing awaited after it."""
        refusal = self._refusal(asked)
        if refusal or now() - asked.proof.at <= PROOF_KEPT_NS:
            return refusal
        try:
            await self._hypervisor.prove_gone(_life_of(asked.proof.incarnation), asked.name)
        except (CallFailed, ValueError) as error:
            return f"its end could not be proven again: {error}"
        return self._refusal(asked)

    def _refusal(self, asked: act.RestartHere) -> str:
        tenure = asked.tenure
        if tenure.host != self._host:
            return f"its tenure is of host {tenure.host}"
        if tenure.boot != self._boot or asked.proof.boot != self._boot:
            return "the proof or the tenure is of another boot"
        if asked.proof.vm != tenure.vm:
            return f"the proof is of another VM ({asked.proof.vm})"
        if asked.proof.is_of_copy:
            return "the proof says nothing of its disks"
        if tenure.state is not TenureState.HELD or tenure.wanted is not Wanted.RUNNING:
            return f"the tenure says {tenure.state}, wanted {tenure.wanted}"
        return self._may_start(asked)

    @staticmethod
    def _not_started(asked: act.RestartHere, reason: str, *, is_final: bool) -> came.StartFailed:
        return came.StartFailed(incident=asked.incident, at=now(), reason=reason, is_final=is_final)

    def _await_answer(self, asked: act.AwaitAnswer) -> None:
        """One waiter per incident: a newer life, or a repeat, replaces the older."""
        older = self._waiting.pop(asked.incident, None)
        if older is not None:
            older.cancel()
        task = self._spawn(self._answer(asked), "await an answer")
        self._waiting[asked.incident] = task

    async def _answer(self, asked: act.AwaitAnswer) -> None:
        said = await self._answers.wait_answer(asked.life, asked.answer, asked.limit_ms)
        if said is not None:
            how, verified = said
            self._consume(
                came.VmAnswered(
                    incident=asked.incident, at=now(), life=asked.life, how=how, verified=verified
                )
            )
        elif self._answers.still_runs(asked.life):
            reason = f"it did not answer ({asked.answer}) within {asked.limit_ms // 1_000} s"
            self._consume(
                came.AnswerOverdue(
                    incident=asked.incident, at=now(), life=asked.life, reason=reason
                )
            )


def _life_of(key: str) -> Incarnation:
    """The inverse of Incarnation.key. Raises ValueError."""
    vm, boot, process = key.rsplit("/", 2)
    pid, ticks = process.split(".")
    return Incarnation(vm=vm, boot=boot, pid=int(pid), started_ticks=int(ticks))
