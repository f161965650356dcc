"""The agent put together: which sensor feeds the loop, and which adapter carries out what."""

import asyncio
import functools
import gc
import logging
import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from holdfast.adapters.archives.local_disk import LocalDisk
from holdfast.adapters.drivers import libvirt_guests, libvirt_hook
from holdfast.adapters.drivers.certificates import Certificates
from holdfast.adapters.migrators.libvirt import LibvirtMigrator
from holdfast.adapters.outboxes.disk import DiskOutbox
from holdfast.adapters.sensors.kernel_log import KernelLog
from holdfast.agent.answers import Answers
from holdfast.agent.commands import Commands
from holdfast.agent.controllers import controllers_of
from holdfast.agent.definitions import Definitions
from holdfast.agent.door import open_door
from holdfast.agent.ends import Ends
from holdfast.agent.executor import Executor
from holdfast.agent.finding import found_gone, last_alive
from holdfast.agent.found_moves import FoundMoves
from holdfast.agent.hardware import HardwareSight, left_open, of_detectors
from holdfast.agent.health import Health, rss_mib
from holdfast.agent.hook_files import HookFiles
from holdfast.agent.host_records import HostRecords
from holdfast.agent.identity import Identity
from holdfast.agent.inventory import Inventory
from holdfast.agent.last_words import LastWords
from holdfast.agent.lease_board import LEASE_BOARD, SharedLeaseBoard
from holdfast.agent.leasing import Leasing
from holdfast.agent.loop import Loop, now
from holdfast.agent.losses import watch_losses
from holdfast.agent.memory import Remembered, is_in_doubt, open_journal
from holdfast.agent.mending import Mending, ladders_set
from holdfast.agent.migrating import Migrating
from holdfast.agent.questions import Questions
from holdfast.agent.recorder import Recorder, Watched
from holdfast.agent.sight import Sight
from holdfast.agent.site_keeper import SiteKeeper
from holdfast.agent.starting import Starting
from holdfast.agent.switches import Switches
from holdfast.agent.terms import Terms
from holdfast.agent.uplink import Uplink
from holdfast.agent.view import View
from holdfast.agent.vitals import Vitals
from holdfast.agent.welcome import Welcomer
from holdfast.agent.witness import Witness
from holdfast.detectors.panel import make_panel
from holdfast.facts import wire
from holdfast.facts.commands import Booted, Restarted
from holdfast.facts.incidents import Incident
from holdfast.facts.observations import (
    AgentAnswered,
    LifecycleSeen,
    Observation,
    PieceLost,
    QmpEventSeen,
)
from holdfast.facts.settings import Settings
from holdfast.policy import copies, moving, promise
from holdfast.policy.decide import Decider
from holdfast.ports.defects import Defects, LoggedPanel
from holdfast.ports.journal import losses_told
from holdfast.ports.keeper import keep_running

log = logging.getLogger(__name__)

COPY_PERIOD_S = 10.0
SYNC_PERIOD_S = 1.0


class Agent:
    """Made once, then `run` until cancelled."""

    def __init__(self, settings: Settings, me: Identity, remembered: Remembered) -> None:
        state = Path(settings.state_dir)
        self._settings, self._me, self._remembered = settings, me, remembered
        self._run = secrets.token_hex(4)
        self._state = state
        self.decider = Decider(remembered.world)
        self.journal = open_journal(state / "journal", self.decider, settings.journal_mib)
        self.panel = make_panel(of_detectors(settings.hardware))
        defects = Defects()
        panel = LoggedPanel(self.panel, defects)
        self.loop = Loop(panel, self.decider, self.journal, self._act, defects)
        self.vitals = Vitals(settings, me)
        self.sight = Sight(settings.libvirt_uri, me.boot, self._see, settings.shared_paths)
        self.switches = Switches(state, me.boot, has_canaries=settings.has_canaries)
        self.health = Health(state / "memo.json", self._shown)
        self.ends = Ends()
        self.archive = LocalDisk(state / "last-words", settings.last_words_mib << 20)
        self.recorder = Recorder(
            state / "recorder", me.boot, self._watched, ring_bytes=settings.recorder_mib << 20
        )
        self.definitions = Definitions(
            self.sight.hypervisor,
            self._protected,
            lambda vm: moving.is_moving(self.decider.world, vm),
        )
        self.view = View(self.loop, self._domains, self.sight.watched_by, self.definitions.needs)
        menders = self.switches.menders
        self.mending = Mending(settings, lambda: self.decider.world, own=menders)
        self.inventory = Inventory(
            self.sight.hypervisor, self.view.vms, settings.roles, self.mending.parts
        )
        self.outbox = DiskOutbox(state / "outbox", me.boot, settings.outbox_mib << 20)
        self.questions = Questions()
        self.site_keeper = SiteKeeper(settings)
        self.questions.add("needs", self.definitions.answer)
        self.questions.add("site-changed", self.site_keeper.site_changed)
        self.terms = Terms(state / "term")
        self.welcomer = Welcomer(self.loop, self.inventory, me, self.terms)
        self.uplink = self._make_uplink()
        self.inventory.tell = self.definitions.tell = self.uplink.send
        self.definitions.changed = self.inventory.policy_moved
        self.loop.after_turn = self._policy_moved
        self.answers = self._make_answers()
        self.kernel_log = KernelLog()
        self.hardware = HardwareSight(settings, self.kernel_log)
        self.host_records = HostRecords(self.kernel_log, me.boot, self.uplink.send)
        self.hook_files = HookFiles(state, Path(settings.run_dir), lambda: self.decider.world)
        self.lease_board = SharedLeaseBoard(Path(settings.run_dir) / LEASE_BOARD)
        self.leasing = Leasing(self.loop, self.sight.hypervisor, self.lease_board, self.journal)
        self.starting = Starting(self.loop, self.sight.hypervisor, self.journal)
        self.migrator = LibvirtMigrator(
            settings.libvirt_uri,
            tls_dir=settings.tls_dir,
            run_dir=Path(settings.run_dir),
            port=settings.migration_port,
        )
        self.migrating = Migrating(self.loop, self.sight.hypervisor, self.migrator, self.journal)
        self.found_moves = FoundMoves(self.loop, self.migrator)
        parts = (*self.hardware.sensors, *self.switches.sensors)
        own = (self.kernel_log, *self.mending.sensors, *parts)
        self._sensors = (*self.sight.sensors, *own)
        self.executor = self._make_executor(self._make_last_words())
        self._add_questions()

    def _make_last_words(self) -> LastWords:
        return LastWords(
            kernel_log=self.kernel_log,
            recorder=self.recorder,
            archive=self.archive,
            hypervisor=self.sight.hypervisor,
            host_name=self._me.host_name,
            boot=self._me.boot,
            domain=self.inventory.domain,
            incident=self._incident,
            observations=lambda: self.loop.observations,
        )

    def _make_answers(self) -> Answers:
        sight = self.sight
        has_agent = self.health.has_agent
        return Answers(sight.hypervisor, sight.runs, has_agent, self._see, sight.hears_agent)

    def _make_uplink(self) -> Uplink:
        return Uplink(
            dials=controllers_of(self._settings, self._me.host_name),
            outbox=self.outbox,
            boot=self._me.boot,
            host=self._me.host,
            hello=self._hello,
            welcomed=self._welcomed,
            obey=self.terms.guard(self.questions.answer),
            see=self.loop.see,
        )

    def _make_executor(self, last_words: LastWords) -> Executor:
        return Executor(
            hypervisor=self.sight.hypervisor,
            uplink=self.uplink,
            answers=self.answers,
            capture=last_words.capture,
            await_end=self.ends.wait_end,
            host=self._me.host,
            boot=self._me.boot,
            may_start=lambda asked: promise.may_start(self.decider.world, asked),
            consume=self.loop.consume,
            is_kept=self.starting.is_kept,
            mend=self.mending.try_step,
            look_again=self.mending.look_again,
        )

    def _add_questions(self) -> None:
        Commands(
            self.loop,
            self.view,
            self.sight.hypervisor,
            self.archive,
            self._state / "journal",
            self.health,
            self.answers,
            self.starting.turn,
        ).add_to(self.questions)
        self.starting.add_to(self.questions)
        self.leasing.add_to(self.questions)
        self.migrating.add_to(self.questions)
        Witness(self._settings.answer_port, self._me.boot).add_to(self.questions)

    def _act(self, action: Any) -> None:
        self.executor.carry_out(action)

    def _incident(self, name: str) -> Incident | None:
        return self.decider.world.incidents.get(name)

    def _domains(self) -> Any:
        return self.inventory.domains()

    def _protected(self) -> dict[str, str]:
        return promise.defined_here(self.decider.world)

    def _policy_moved(self) -> None:
        self.inventory.policy_moved()
        self.definitions.policy_moved()
        self.hook_files.policy_moved()

    async def run(self) -> None:
        self._begin()
        gc.freeze()  # What lives as long as the agent need not be looked at again and again.
        tasks: list[Callable[[], Awaitable[None]]] = [
            self.uplink.run,
            self.recorder.run,
            self.inventory.run,
            self.definitions.run,
            self._copy,
            self.host_records.run,
            self._sync,
            self.site_keeper.run,
            self.vitals.run,
            self.switches.run,
            self.found_moves.run,
            self.leasing.run,
            lambda: watch_losses(self._losses(), self._see),
            *[functools.partial(one.run, self._see) for one in self._sensors],
        ]
        door = Path(self._settings.run_dir) / "agent.sock"
        try:
            async with open_door(door, self.questions.answer), asyncio.TaskGroup() as group:
                for task in tasks:
                    group.create_task(keep_running(task, _said, str(task)))
        except asyncio.CancelledError:
            self.vitals.leave()
            raise
        finally:
            await self._close()

    def _begin(self) -> None:
        """What runs is looked at first, so that nothing which runs is taken for gone."""
        seen: list[Observation] = []
        self.sight.look(seen.append)
        at, me, was = now(), self._me, self.decider.world
        same_boot = was.boot == me.boot
        # What it knew last tells when a VM of this boot was last seen.
        last_seen = functools.partial(last_alive, self.recorder, me.boot, was.now)
        is_amnesiac = is_in_doubt(self._remembered)
        self.loop.consume(
            Booted(
                at=at,
                host=me.host,
                host_name=me.host_name,
                boot=me.boot,
                state_id=me.state_id,
                is_amnesiac=is_amnesiac,
            )
        )
        self.loop.consume(ladders_set(self._settings, at))
        if self._remembered.world is not None and same_boot:
            self.loop.consume(Restarted(at=at))
        if self._remembered.lost:
            lost, why = self._remembered.lost, "lines of it were damaged or missing at the start"
            seen.append(PieceLost(at=at, what="journal", count=lost, reason=why))
        seen.extend(found_gone(self.decider.world, self.sight.running(), me.boot, at, last_seen))
        seen.extend(left_open(self.decider.world, at))
        self.hook_files.begin()
        for observation in seen:
            self._see(observation)

    def _see(self, seen: Observation) -> None:
        """The fast path first: judged, decided and reported before anybody notes it."""
        self.loop.see(seen)
        self.sight.note(seen)
        self.ends.see(seen)
        self.inventory.see(seen)
        self.definitions.see(seen)
        self.vitals.see(seen)
        self.switches.see(seen)
        self.found_moves.see(seen)
        if isinstance(seen, LifecycleSeen):
            self.recorder.note(seen.vm, "lifecycle", f"{seen.event} {seen.detail}", seen.at)
        elif isinstance(seen, QmpEventSeen):
            self.recorder.note(seen.vm, "qmp", f"{seen.event} {seen.data}", seen.at)
        elif isinstance(seen, AgentAnswered):
            self.health.note_agent(seen.incarnation.vm)

    def _watched(self) -> list[Watched]:
        domains = self.inventory.domains()
        found = []
        for vm, life in self.sight.running().items():
            domain = domains.get(vm)
            log_file = domain.console_log if domain else ""
            found.append(Watched(life=life, name=self.sight.name(vm), console_log=log_file))
        return found

    def _welcomed(self, welcome: wire.Welcome) -> None:
        self.welcomer.welcomed(welcome)
        self.definitions.tell_anew()
        self.host_records.greeted()

    def _hello(self) -> wire.Hello:
        world = self.decider.world
        kept = [r.protection.tenure for r in world.vms.values() if r.protection]
        return wire.Hello(
            version=wire.VERSION,
            host=self._me.host,
            host_name=self._me.host_name,
            boot=self._me.boot,
            state_id=self._me.state_id,
            stream=self.outbox.stream,
            features=(wire.STARTS_HERE, *(() if self.migrator.why_not() else (wire.MIGRATES,))),
            is_amnesiac=world.is_amnesiac,
            tenures=tuple(kept),
            pulse_key=self.vitals.key,
            addresses=self.vitals.addresses,
            rack=self._settings.rack,
            switch=self._settings.switch,
            zone=self._settings.zone,
            run=self._run,
            was_planned=self.vitals.was_planned,
            barred=copies.barred(world),
        )

    def _shown(self) -> dict[str, Any]:
        """What status shows of the agent's own parts."""
        return {
            "controller": self.uplink.is_up,
            "controllers": self.uplink.shown(),
            "libvirt": self.sight.libvirt_state(),
            "outbox_waiting": self.outbox.waiting,
            "outbox_stream": self.outbox.stream,
            "memory_mib": round(rss_mib([os.getpid(), *self.sight.worker_pids()]), 1),
            "unknown_events": self.panel.unknown_seen,
            "detector_defects": dict(self.panel.defects),
            "defects": dict(self.loop.defects.counts),
            "policy_defects": getattr(self.decider.world, "defects", 0),
            "outbox_unreadable": self.uplink.unreadable,
            "hook": self._hook_trouble(),
            "libvirt_guests": libvirt_guests.trouble() if self._protected() else "",
            "watch_mechanism": self.sight.mechanism(),
            "hardware": self.hardware.shown(),
            "vswitch": self.switches.shown(),
            **losses_told(self._losses()),
        }

    def _hook_trouble(self) -> str:
        """Only on a host of a site may what was protected run on another one by now."""
        is_joined = Certificates.is_here(self._settings.tls_dir)
        return libvirt_hook.trouble(self._settings) if is_joined else ""

    def _losses(self) -> dict[str, Callable[[], Any]]:
        return {
            "journal": self.journal.losses,
            "outbox": self.outbox.losses,
            "recorder": self.recorder.losses,
            "memo": self.health.losses,
        }

    async def _copy(self) -> None:
        while True:
            await asyncio.sleep(COPY_PERIOD_S)
            told = self.inventory.told_running()  # A copy of another VM looks like a lie.
            pieces = {vm: piece for vm, piece in self.recorder.copies().items() if vm in told}
            self.uplink.send(wire.RecorderCopy(pieces=pieces))

    async def _sync(self) -> None:
        while True:
            await asyncio.sleep(SYNC_PERIOD_S)
            await asyncio.to_thread(self.journal.sync)

    async def _close(self) -> None:
        self.loop.close()
        await self.executor.close()
        await self.migrating.close()
        await self.sight.close()
        self.recorder.close()
        self.journal.close()


def _said(name: str, failure: BaseException | None) -> None:
    log.error("%s ended and is begun again", name, exc_info=failure)
