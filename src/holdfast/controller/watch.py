"""The watch over the hosts of the site: what is heard is judged, decided, journaled and reported.

Everything heard of a host is noted in the journal, so that its story can tell who heard what, when.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from holdfast.adapters.journals.segments import read
from holdfast.controller.agents import Agent
from holdfast.controller.host_said import host_row, said_of
from holdfast.controller.registry import Known
from holdfast.detectors.panel import Panel, make_panel
from holdfast.facts import hearing as heard
from holdfast.facts import site as told
from holdfast.facts import wire
from holdfast.facts.actions import Action, AskWitnesses, Report, TellIncident
from holdfast.facts.alarms import Alarm, AlarmRecord, AlarmReport, condition_of
from holdfast.facts.commands import IncidentSettled
from holdfast.facts.definitions import HostSize
from holdfast.facts.hardware import Advice
from holdfast.facts.hearing import Hearing, HostExpected, HostForgotten, LinkChanged, Sign
from holdfast.facts.incidents import Incident
from holdfast.facts.instants import NS_PER_MS, NS_PER_S, Instant
from holdfast.facts.site import HostVm, SiteFact
from holdfast.facts.wire import HostPart, VmSummary
from holdfast.policy import timing
from holdfast.policy.host_states import SILENT
from holdfast.policy.site import SiteDecider
from holdfast.policy.site_alarms import OF_SITES
from holdfast.policy.site_world import loss_of
from holdfast.ports import clock
from holdfast.ports.defects import Defects, LoggedPanel
from holdfast.ports.journal import Journal, Record
from holdfast.ports.loop import Turns

log = logging.getLogger(__name__)

TERM_S = 0.2
SYNC_S = 1.0
STORY_BEFORE_S = 60
STORY_RECORDS = 2_000
US = 1_000
PLAIN = msgspec.to_builtins


def refuse(action: Action) -> None:
    log.error("refused: %s has no seat at a controller", type(action).__name__)


class Watch:
    """`report` hands an alarm to the VIM, `keep` shows an incident, `ask` asks witnesses.

    `recover` carries out what a leader does about hosts and their VMs. `folder` is where the
    journal lies, for those who ask for a story; `term` is that of this controller while it leads,
    else None; `is_reliable` says whether its ear can be believed now.
    """

    def __init__(
        self,
        *,
        decider: SiteDecider,
        journal: Journal,
        folder: Path,
        controller: str,
        boot: str,
        report: Callable[[AlarmReport, int], Awaitable[object]],
        keep: Callable[[Incident], None],
        ask: Callable[[str], Awaitable[None]],
        term: Callable[[], int | None],
        is_reliable: Callable[[], bool],
        panel: Panel | None = None,
        recover: Callable[[Action], None] = refuse,
    ) -> None:
        self.defects = Defects()
        self.decider = decider
        self.controller, self._boot, self._folder = controller, boot, folder
        self._journal = journal
        self._report, self._keep, self._ask, self._term = report, keep, ask, term
        self.recover = recover
        found = panel or make_panel(seat="controller")
        logged = LoggedPanel(found, self.defects)
        self._turns: Turns[SiteFact] = Turns(logged, decider, journal, self._act, self.defects)
        self._is_reliable = is_reliable
        self._tasks: set[asyncio.Task[Any]] = set()
        self._known_term = 0
        self._is_closed = False
        self._heard: dict[str, set[str]] = {}
        self._expected: dict[str, HostExpected] = {}
        self._unheard: dict[str, tuple[str, str, tuple[str, ...]]] = {}
        # As told last, by host: in which boot, those that run, those that were given up.
        self._vms: dict[str, told.VmsSet] = {}  # The newest word of each host.
        self.on_seen: Callable[[Hearing], None] = lambda _: None  # Who remembers signs of life.

    async def run(self) -> None:
        """Until cancelled; `begin` comes first."""
        since_sync_s = 0.0
        while True:
            await asyncio.sleep(TERM_S)
            self._note_term()
            since_sync_s += TERM_S
            if since_sync_s >= SYNC_S:
                since_sync_s = 0.0
                await asyncio.to_thread(self._journal.sync)

    def begin(self) -> None:
        """Say who this is. Needs a running event loop, as all that follows does."""
        began = told.SiteBegan(at=clock.now(), controller=self.controller, boot=self._boot)
        self._turns.consume(began)
        self._note_term()

    def close(self) -> None:
        self._is_closed = True
        self._turns.close()
        for task in self._tasks:
            task.cancel()
        self._journal.close()

    # What is heard and told.

    def see(self, seen: Hearing) -> None:
        """Links that break off while the controller ends tell nothing of their hosts."""
        if self._is_closed:
            return
        match seen:
            case heard.PlaneHeard():
                if seen.host in self._unheard:
                    self.expect(seen.host, *self._unheard[seen.host])
                self._heard.setdefault(seen.host, set()).add(seen.plane)
            case heard.PlaneSilent():
                if seen.host in self._unheard:
                    return  # Its pulse may not know of this controller yet.
                self._heard.setdefault(seen.host, set()).discard(seen.plane)
            case heard.EarBegan():
                self._heard.clear()
            case _:
                pass
        self._note_term()
        if not isinstance(seen, HostExpected | heard.PulsesRefused):
            self._journal.append("note", clock.now(), seen)
        self._turns.see(seen)
        self.on_seen(seen)
        if isinstance(seen, heard.PlaneHeard):
            self._set_vms(seen.host, seen.boot)

    def expect(self, host: str, name: str, boot: str, planes: tuple[str, ...]) -> None:
        """A host of this site whose pulse should come here: else it is missed."""
        self._unheard.pop(host, None)
        is_here = name == self.controller
        at = clock.now()
        seen = HostExpected(at=at, host=host, name=name, boot=boot, planes=planes, is_here=is_here)
        before = self._expected.get(host)
        if before is None or (before.name, before.planes) != (name, planes):
            self._expected[host] = seen
            self.see(seen)

    def know(self, host: str, name: str, boot: str, planes: tuple[str, ...]) -> None:
        """One that others told of: it is expected once it is heard, or its agent greets."""
        if host in self._expected:
            self.expect(host, name, boot, planes)
        else:
            self._unheard[host] = (name, boot, planes)

    def set_host(self, host: str, name: str, of: Known | wire.Hello) -> None:
        place = {"rack": of.rack, "switch": of.switch, "zone": of.zone}
        known = self.decider.world.hosts.get(host)
        if known is None or (known.name, known.place) != (name, place):
            self._turns.consume(told.HostSet(at=clock.now(), host=host, name=name, **place))

    def forget(self, host: str) -> None:
        """It left the site."""
        self._expected.pop(host, None)
        self._unheard.pop(host, None)
        self._heard.pop(host, None)
        self._vms.pop(host, None)
        self.see(HostForgotten(at=clock.now(), host=host))
        self._turns.consume(told.HostLeft(at=clock.now(), host=host))

    def greeted(self, hello: wire.Hello) -> None:
        """An agent is linked. One of an earlier version has no pulse, and is not missed."""
        name = hello.host_name or hello.host
        self.set_host(hello.host, name, hello)
        if hello.pulse_key:
            self.expect(hello.host, name, hello.boot, tuple(sorted(hello.addresses)))
        self.see(
            LinkChanged(
                at=clock.now(),
                host=hello.host,
                boot=hello.boot,
                is_up=True,
                run=hello.run,
                was_planned=hello.was_planned,
            )
        )

    def left(self, agent: Agent) -> None:
        self.see(LinkChanged(at=clock.now(), host=agent.host, boot=agent.boot, is_up=False))

    def told(self, agent: Agent) -> None:
        """Its agent said what runs there, and what it offers."""
        if agent.size is not None:
            self.set_size(agent.host, agent.size, agent.features)
        self.set_vms(agent.host, agent.boot, agent.vms, agent.parts)

    def set_vms(
        self, host: str, boot: str, vms: tuple[VmSummary, ...], parts: tuple[HostPart, ...] = ()
    ) -> None:
        over = [part for part in parts if part.handed_over]
        self._vms[host] = told.VmsSet(
            at=clock.now(),
            host=host,
            boot=boot,
            vms=tuple(_host_vm(vm) for vm in vms if vm.is_running),
            given_up=tuple(_host_vm(vm) for vm in vms if vm.is_given_up),
            handed_over=tuple(part.name for part in over),
            may_stay=tuple(part.name for part in over if part.advice == Advice.QUARANTINE),
        )
        self._set_vms(host, boot)

    def _set_vms(self, host: str, boot: str) -> None:
        """Also when that boot is heard again: a clone that pulsed meanwhile ran none of them."""
        fact, known = self._vms.get(host), self.decider.world.hosts.get(host)
        if fact is None or fact.boot != boot:
            return
        # That it is told at all is news: of a host in a new boot nothing is believed to run.
        if known is None or not known.has_heard(fact):
            self._turns.consume(msgspec.structs.replace(fact, at=clock.now()))

    def set_size(self, host: str, size: HostSize, features: tuple[str, ...]) -> None:
        known = self.decider.world.hosts.get(host)
        can_start, can_move = wire.STARTS_HERE in features, wire.MIGRATES in features
        news = (size, can_start, can_move)
        if known is None or (known.size, known.can_start, known.can_move) != news:
            can = {"can_start": can_start, "can_move": can_move}
            self.take(told.HostSized(at=clock.now(), host=host, size=size, **can))

    def take(self, fact: SiteFact) -> None:
        """What the store says, or what came of an act."""
        if not self._is_closed:
            self._turns.consume(fact)

    def fault_age_ms(self, host: str) -> int:
        """For how long a silent host has been lost, or 0."""
        record = self.decider.world.hosts.get(host)
        loss = loss_of(record) if record is not None else None
        return (clock.now() - loss.fault_at) // NS_PER_MS if loss is not None else 0

    def remember(self, record: AlarmRecord) -> None:
        """The VIM has it. It is news only where the journal was lost."""
        known = self.decider.world.reported.get(record.alarm.key)
        if known is None or known.revision < record.alarm.revision:
            self.shared(record)

    def shared(self, record: AlarmRecord) -> None:
        """Another controller's alarm, from the store. Its instants become those of this clock."""
        now, utc_ms = clock.now(), clock.utc_ms()

        def here(instant_utc_ms: int) -> Instant:
            return Instant(now - max(0, utc_ms - instant_utc_ms) * NS_PER_MS)

        alarm = msgspec.structs.replace(
            record.alarm,
            fault_at=here(record.fault_utc_ms),
            detected_at=here(record.detected_utc_ms),
            not_before=None,
        )
        self._turns.consume(told.AlarmShared(at=now, alarm=alarm))

    def is_needed(self, key: str) -> bool:
        """Whether an alarm that somebody told is wanted here too, or may be: who has just begun,
        or come to lead, listens before it ends anything of hosts."""
        world = self.decider.world
        listens = world.take_over_at is not None and condition_of(key) in OF_SITES
        return listens or key in world.wanted

    def settle(self, incident: str, by: str) -> None:
        self._turns.consume(IncidentSettled(at=clock.now(), incident=incident, by=by))

    def _note_term(self) -> None:
        term = self._term() or 0
        if term != self._known_term:
            self._known_term = term
            self._turns.consume(told.LeadChanged(at=clock.now(), term=term))

    # What is done.

    def _act(self, action: Action) -> None:
        match action:
            case Report():
                self._start(self._report(_with_ages(action.alarm), clock.now()))
            case TellIncident():
                self._keep(_dated(action.incident))
            case AskWitnesses():
                self._start(self._ask(action.host))
            case _:
                self.recover(action)

    def _start(self, work: Awaitable[Any]) -> None:
        """What is reported first is handed on first: tasks begin in their order."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            assert isinstance(error, Exception)
            self.defects.note("watch", error)

    # What is asked of it.

    def sign_of(self, host: str) -> Sign:
        """For other controllers: whether pulses of the host arrive here now. Who doubts itself
        judges nobody silent, and must not vouch for the dead."""
        if not self._is_reliable() or host not in self._heard:
            return Sign.UNKNOWN
        return Sign.PULSE if self._heard[host] else Sign.NOTHING

    def host_rows(self) -> list[dict[str, Any]]:
        """Each host of the site, with what is known and said of it."""
        world = self.decider.world
        return [
            host_row(world, record, sorted(self._heard.get(record.host, ())))
            for record in world.hosts.values()
        ]

    def silence_of(self, host: str) -> str:
        """What is said of a host that is silent, or empty."""
        world = self.decider.world
        record = world.hosts.get(host)
        return said_of(world, record) if record is not None and record.state in SILENT else ""

    def story(self, incident: Incident) -> dict[str, Any]:
        """The journal's lines about it, with what was heard of its host. Blocks: use a thread."""
        since_ms = incident.fault_utc_ms - STORY_BEFORE_S * 1_000
        found = [one for one in read(self._folder) if one.utc_ms >= since_ms]
        hosts = _hosts_of(found, incident)
        records = [one for one in found if _is_about(one, incident, hosts)]
        shown = [msgspec.json.decode(msgspec.json.encode(one)) for one in records[:STORY_RECORDS]]
        world = self.decider.world
        names = {record.host: record.name for record in list(world.hosts.values())}
        levels = {
            vm: timing.LEVEL_MS[world.group_of(promise.protection).level]
            for vm, promise in dict(world.promises).items()
        }
        return {"incident": PLAIN(incident), "records": shown, "names": names, "levels": levels}


def _host_vm(vm: VmSummary) -> HostVm:
    return HostVm(
        vm=vm.vm,
        name=vm.name,
        memory_mib=vm.memory_mib,
        generation=vm.generation,
        is_serving=vm.is_serving,
    )


def _hosts_of(records: list[Record], incident: Incident) -> set[str]:
    """Its host, and those that were lost with it, as reports of it name them."""
    needle = f'"incident":"{incident.id}"'.encode()
    hosts = {incident.host}
    for record in records:
        if record.kind == "action" and needle in bytes(record.body):
            body = msgspec.json.decode(record.body)
            subject = body.get("alarm", {}).get("subject", {})
            if subject.get("kind") == "host":
                hosts.add(subject["id"])
    return hosts


def _is_about(record: Record, incident: Incident, hosts: set[str]) -> bool:
    """It names a host of the incident, or tells how far this controller trusted its own ears."""
    if record.kind == "snapshot":
        return False
    body = bytes(record.body).decode()
    if '"is":"Ear' in body or '"is":"Gap' in body or f'"{incident.id}"' in body:
        return True
    return any(f'"{host}"' in body for host in hosts)


def _with_ages(alarm: Alarm) -> AlarmReport:
    now = clock.now()
    return AlarmReport(
        alarm=alarm,
        fault_age_us=max(0, now - alarm.fault_at) // US,
        detected_age_us=max(0, now - alarm.detected_at) // US,
        sent_utc_ms=clock.utc_ms(),
    )


def _dated(incident: Incident) -> Incident:
    """With the wall clock's time of the fault, for people."""
    age_ms = (clock.now() - incident.fault_at) * 1_000 // NS_PER_S
    return msgspec.structs.replace(incident, fault_utc_ms=clock.utc_ms() - age_ms)
