"""Commands to this agent, each with its answer: grants, groups, disarm, and questions about it."""

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any

import msgspec

from holdfast.adapters.journals.segments import read
from holdfast.agent.answers import Answers
from holdfast.agent.health import Health
from holdfast.agent.loop import Loop, now
from holdfast.agent.questions import (
    PLAIN,
    Questions,
    read_disarm,
    read_group,
    read_protection,
)
from holdfast.agent.view import View
from holdfast.facts import commands as told
from holdfast.facts import wire
from holdfast.facts.incidents import Incident
from holdfast.facts.instants import NS_PER_MS, NS_PER_S, Instant
from holdfast.policy import promise
from holdfast.ports.answers import Unanswerable
from holdfast.ports.archive import Archive
from holdfast.ports.hypervisor import CallFailed, CallOverran, Domain, Hypervisor, TakenOver
from holdfast.ports.journal import Record

STORY_BEFORE_S = 30
STORY_RECORDS = 2_000
# Recovery was switched off or on for all VMs, also by the end of its time.
OF_RECOVERY = (b'"is":"Armed"', b'"is":"Disarmed"', b'"condition":"disarmed"')
ANSWERS_NOW_MS = 2_000


class Commands:
    def __init__(
        self,
        loop: Loop,
        view: View,
        hypervisor: Hypervisor,
        archive: Archive,
        journal: Path,
        health: Health,
        answers: Answers,
        turn: Callable[[str], AbstractAsyncContextManager[object]] = lambda _: nullcontext(),
    ) -> None:
        """`turn` waits until no order of the leader about this VM is under way."""
        self._loop, self._view, self._hypervisor = loop, view, hypervisor
        self._archive, self._journal, self._health = archive, journal, health
        self._answers, self._turn = answers, turn

    def add_to(self, questions: Questions) -> None:
        table = {
            "status": self._status,
            "vms": self._vms,
            "grant": self._grant,
            "release": self._release,
            "answers-now": self._answers_now,
            "group": self._group,
            "group-forget": self._group_forget,
            "disarm": self._disarm,
            "arm": self._arm,
            "recover": self._recover,
            "settle": self._settle,
            "alarms": self._alarms,
            "incidents": self._incidents,
            "explain": self._explain,
            "last-words": self._last_words,
        }
        for name, handler in table.items():
            questions.add(name, handler)

    async def _status(self, _asked: wire.Question) -> Any:
        return {**self._view.health(), **self._health.shown(), "vms": PLAIN(self._view.vms())}

    async def _vms(self, _asked: wire.Question) -> Any:
        return PLAIN(self._view.vms())

    async def _grant(self, asked: wire.Question) -> Any:
        """Take the VM over: its settings first, since what cannot be kept must not be promised."""
        protection = read_protection(asked.args)
        world = self._loop.decider.world
        try:
            domain = await self._hypervisor.domain(protection.vm)
            if not domain.is_persistent:
                raise Unanswerable(
                    f"{domain.name} is transient: libvirt keeps no definition to restart it from",
                    f"virsh dumpxml {domain.name} > vm.xml && virsh define vm.xml",
                    4,
                )
            await self._take_over(domain)
        except CallFailed as error:
            raise Unanswerable(
                f"libvirt: {error}", "is libvirtd well? holdfast status", 4
            ) from None
        granted = told.ProtectionGranted(
            at=now(), protection=protection, by=asked.by or "the controller"
        )
        self._loop.consume(granted)
        held = world.vms[protection.vm].protection
        if held is None:
            text = f"{domain.name} is another host's by what this host knows of it"
            hint = "unprotect it first: holdfast vm unprotect; then protect it again"
            raise Unanswerable(text, hint, 4)
        return {"protection": PLAIN(held), "domain": PLAIN(domain)}

    async def _take_over(self, domain: Domain) -> None:
        """What the setting was is on disk before it is changed: unprotect must give it back."""
        was_kept = self._health.taken(domain.vm) is not None
        before = TakenOver(vm=domain.vm, autostart=domain.autostart, on_crash=domain.on_crash)
        if not self._health.keep_taken(before):
            raise Unanswerable(
                f"what {domain.name} is set to cannot be kept: {self._health.losses().reason}",
                "make room on the disk of the agent's state, then protect it again",
                4,
            )
        try:
            await self._hypervisor.take_over(domain.vm)
        except CallOverran:
            raise  # It may be changed by now: what it was stays known.
        except CallFailed:
            if not was_kept:
                self._health.forget_taken(domain.vm)
            raise

    async def _release(self, asked: wire.Question) -> Any:
        """An order to start it that is being prepared comes first: it must not be taken after."""
        vm = str(asked.args["vm"])
        async with self._turn(vm):
            await self._give_back(vm)
            by = asked.by or "the controller"
            self._loop.consume(told.ProtectionEnded(at=now(), vm=vm, by=by))
        return {}

    async def _give_back(self, vm: str) -> None:
        taken = self._health.taken(vm)
        if taken is None:
            return
        try:
            await self._hypervisor.give_back(taken)
        except CallFailed as error:
            if not error.is_final:
                raise Unanswerable(f"libvirt: {error}", "try again", 4) from None
        self._health.forget_taken(vm)

    async def _answers_now(self, asked: wire.Question) -> Any:
        """What answers now in the way that is promised, or empty; None for a VM that does not
        run."""
        record = self._loop.decider.world.vms.get(str(asked.args["vm"]))
        if record is None or not record.runs or not (record.protection and record.life):
            return {"answers_now": None}
        answer = record.protection.answer
        found = await self._answers.wait_answer(record.life, answer, ANSWERS_NOW_MS)
        return {"answers_now": found[0] if found else ""}

    async def _group(self, asked: wire.Question) -> Any:
        self._loop.consume(told.GroupSet(at=now(), group=read_group(asked.args)))
        return {}

    async def _group_forget(self, asked: wire.Question) -> Any:
        self._loop.consume(told.GroupForgotten(at=now(), name=str(asked.args["name"])))
        return {}

    async def _disarm(self, asked: wire.Question) -> Any:
        order = read_disarm(asked.args, asked.by, now())
        self._loop.consume(order)
        return PLAIN(order.disarm)

    async def _arm(self, asked: wire.Question) -> Any:
        was = self._loop.decider.world.disarm
        self._loop.consume(told.Armed(at=now(), by=asked.by or "the controller"))
        return {"was": PLAIN(was) if was else None}

    async def _recover(self, asked: wire.Question) -> Any:
        record = self._loop.decider.world.vms.get(str(asked.args["vm"]))
        if record is None:
            raise Unanswerable(
                f"no VM {asked.args['vm']} is known on this host", "holdfast vm list", 2
            )
        if not record.incident:
            text = f"{record.name} has nothing to recover from: it {record.state}"
            raise Unanswerable(text, f"holdfast vm show {record.name}")
        not_ours = promise.not_ours(self._loop.decider.world, record)
        if not_ours:
            text = f"{record.name} is not restarted by Holdfast: {not_ours}"
            itself = f"yourself: virsh {'reset' if record.runs else 'start'} {record.name}"
            hint = f"let Holdfast do it: holdfast vm protect {record.name}; or {itself}"
            raise Unanswerable(text, itself if record.protection else hint)
        self._loop.consume(told.RecoveryAsked(at=now(), vm=record.vm, by=asked.by))
        return {"state": record.state.value, "incident": record.incident}

    async def _settle(self, asked: wire.Question) -> Any:
        incident = self._incident(str(asked.args["incident"]))
        self._loop.consume(told.IncidentSettled(at=now(), incident=incident.id, by=asked.by))
        return PLAIN(self._incident(incident.id))

    async def _alarms(self, _asked: wire.Question) -> Any:
        """Open ones, with the fault's time by the wall clock of now."""
        at, utc_ms = now(), time.time_ns() // NS_PER_MS
        return [
            {**PLAIN(alarm), "fault_utc_ms": utc_ms - (at - alarm.fault_at) // NS_PER_MS}
            for alarm in self._loop.decider.world.alarms.values()
        ]

    async def _incidents(self, _asked: wire.Question) -> Any:
        return PLAIN(self._view.incidents())

    def _incident(self, name: str) -> Incident:
        """By id, or the newest one of a VM, or the newest of all when nothing is named.

        A VM that was renamed since is found by both of its names.
        """
        found = self._view.incidents()
        renamed = {one.vm for one in self._view.vms() if one.name == name}
        chosen = [i for i in found if not name or name in (i.id, i.name, i.vm) or i.vm in renamed]
        if not chosen:
            text = f"there is no incident {name!r}" if name else "there has been no incident"
            raise Unanswerable(text, "holdfast incidents lists them" if name else "", 2)
        return chosen[-1]

    async def _explain(self, asked: wire.Question) -> Any:
        incident = self._incident(str(asked.args.get("incident") or ""))
        since = Instant(incident.fault_at - STORY_BEFORE_S * NS_PER_S)
        records = [r for r in read(self._journal) if r.at >= since and _is_about(r, incident)]
        shown = [msgspec.json.decode(msgspec.json.encode(r)) for r in records[:STORY_RECORDS]]
        return {"incident": PLAIN(incident), "records": shown}

    async def _last_words(self, asked: wire.Question) -> Any:
        name = str(asked.args["vm"])
        known = self._view.vms()
        vm = next((one.vm for one in known if one.name == name), name)
        wanted = str(asked.args.get("incident") or "")
        for folder, bundle in self._archive.bundles(vm):
            if not wanted or bundle.incident == wanted:
                return {"bundle": PLAIN(bundle), "folder": str(folder)}
        whose = next((one.name for one in known if one.vm == vm), name)
        raise Unanswerable(f"there are no last words of {whose}", "holdfast incidents", 2)


def _is_about(record: Record, incident: Incident) -> bool:
    """Its VM or its id is named in the line, or the line tells of a gap in the story; or it tells
    that recovery was switched off or on for all, as long as the incident lasts."""
    if record.kind in ("snapshot", "note"):
        return record.kind == "note"
    body = bytes(record.body)
    if any(word in body for word in OF_RECOVERY):
        return incident.closed_at is None or record.at <= incident.closed_at
    if incident.id.encode() in body:
        return True
    if incident.subject is not None:
        return f'"id":"{incident.subject.id}"'.encode() in body and b'"LaddersSet"' not in body
    return incident.vm.encode() in body
