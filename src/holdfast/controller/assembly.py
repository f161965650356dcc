"""The controller put together: its store, its VIM, a courier per notifier, and the door."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from holdfast.adapters.drivers.certificates import Certificates
from holdfast.adapters.drivers.private_folder import make_private_folder
from holdfast.adapters.drivers.shelf import Shelf
from holdfast.adapters.fencers.fence_agent import FenceAgent
from holdfast.adapters.vims.builtin import Builtin
from holdfast.controller.acting import make_leasing, make_migrating, make_recoverer
from holdfast.controller.agents import Agents
from holdfast.controller.api_tokens import ApiTokens
from holdfast.controller.audit import Audit
from holdfast.controller.claims import Claims
from holdfast.controller.copies import Copies
from holdfast.controller.couriers import make_couriers
from holdfast.controller.definitions import Definitions
from holdfast.controller.departed import Departed
from holdfast.controller.door import Door
from holdfast.controller.entries import Entries
from holdfast.controller.events import Events
from holdfast.controller.fence_parts import make_fencing
from holdfast.controller.fencing import fencing_words
from holdfast.controller.greeting import Greeter
from holdfast.controller.groups import Groups
from holdfast.controller.guarantee_parts import make_guarantees
from holdfast.controller.hearing import Hearing
from holdfast.controller.host_rows import HostRows
from holdfast.controller.host_words import HostWords
from holdfast.controller.instance_parts import make_instances
from holdfast.controller.joining import Joining
from holdfast.controller.known_hosts import follow_hosts
from holdfast.controller.leadership import Leadership
from holdfast.controller.notes import Notes
from holdfast.controller.own_alarms import OwnAlarms, add_up
from holdfast.controller.promises import Promises
from holdfast.controller.questions import Questions
from holdfast.controller.registry import Registry
from holdfast.controller.replicas import Replicas, make_store, peer_dials
from holdfast.controller.site_members import make_joining
from holdfast.controller.status import agent_rows, status_of
from holdfast.controller.timings import Timings
from holdfast.controller.watching import FOLDER, forget, make_watch
from holdfast.controller.watching import begin as begin_watch
from holdfast.facts.alarms import Alarm, AlarmRecord
from holdfast.facts.events import EventKind
from holdfast.facts.hearing import Hearing as Heard
from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.settings import Settings
from holdfast.ports.fencer import Fencer
from holdfast.ports.journal import Losses
from holdfast.ports.keeper import keep_running
from holdfast.ports.link import Dial
from holdfast.ports.store import Store, StoreAway
from holdfast.ports.vim import VimAway, VimRefused

log = logging.getLogger(__name__)

LOOK_S = 1.0
FIRST_LIMIT_S = 3.0
PLAIN = msgspec.to_builtins


# What faces open beside the controller's own door, for as long as a block lasts.
Face = Callable[["Controller"], contextlib.AbstractAsyncContextManager[None]]


def no_face(_controller: "Controller") -> contextlib.AbstractAsyncContextManager[None]:
    return contextlib.nullcontext()


class Controller:
    """Made once, then `run` until cancelled."""

    def __init__(
        self,
        settings: Settings,
        boot: str,
        store: Store | None = None,
        face: Face = no_face,
        peers: Sequence[Dial] | None = None,
        fencer: Fencer | None = None,
    ) -> None:
        self._face = face
        state = Path(settings.state_dir) / "controller"
        make_private_folder(state)
        self._settings, self._state, self.boot = settings, state, boot
        self.host_name = settings.host_name or socket.gethostname()
        self.fencer = fencer or FenceAgent()
        self.shelf = Shelf(state / "kept.db")
        self.events = Events(state / "events.db")
        self.notes = Notes(self.events, self.host_name)
        self.agents = Agents(self.shelf, lambda text: self.events.note(EventKind.HOST, text))
        self.timings = Timings(is_answered_outside=bool(settings.webhooks))
        self.vim = Builtin(state / "alarms.db", tell=self._tell, inventory=self.agents.inventory)
        self.couriers = make_couriers(
            settings, state, boot, self.host_name, self._answered, self._settled, self.shelf
        )
        has_tls = Certificates.is_here(settings.tls_dir)
        self.certificates = Certificates(settings.tls_dir) if has_tls else None
        self.store = store or make_store(settings, state, self.certificates)
        self.leadership = Leadership(self.store, self.host_name, self._began)
        self.registry = Registry(self.store, lambda: self.leadership.term)
        self.promises = Promises(self.registry, self.agents)
        self.groups = Groups(self.registry, self.agents, settings.groups, len(settings.controllers))
        self.entries = self._make_entries()
        self.copies = Copies(Path(settings.state_dir) / "recorder-copies")
        self.host_words = HostWords(state / "host-records", self.agents, self.copies)
        self.hearing = Hearing(settings, self._hear, shelf=self.shelf, host_name=self.host_name)
        self.watch, self.witnesses = make_watch(
            state=state,
            controller=self.host_name,
            boot=boot,
            agents=self.agents,
            entries=self.entries,
            hearing=self.hearing,
            term=lambda: self.leadership.term,
        )
        self.replicas = self._make_replicas(peers)
        self.witnesses.ask_peers = self.replicas.peers.ask_peers
        follow_hosts(self.registry, self.hearing, self.watch)
        self.greeter = self._make_greeter()
        self.leasing = make_leasing(self)
        self.recoverer = make_recoverer(self)
        self.tokens = ApiTokens(self.registry)
        self.audit = Audit(state / "audit", self.events, name_of=self.agents.name_of)
        self.questions = self._make_questions()
        self.migrating = make_migrating(self)
        self.rehearsals, self.fence_questions = make_fencing(self, self.fencer)
        self.hold_instances = make_instances(self)
        self.guarantees = make_guarantees(self, settings.host_losses)
        self.door = self._make_door()
        self.departed = self._make_departed()
        self.joining = self._make_joining(self.certificates) if self.certificates else None
        self._settled_term: int | None = None
        self.own_alarms = OwnAlarms(self.vim, self.host_name, boot)

    async def run(self) -> None:
        tasks: dict[str, Callable[[], Awaitable[None]]] = {
            "leadership": self.leadership.run,
            "own alarms": self._look,
            "hearing": self.hearing.run,
            "watch": self.watch.run,
            "rehearsals": self.rehearsals.run,
            "guarantee": self.guarantees.run,
            "leases": self.leasing.run,
            "instances": self.hold_instances,
        }
        if self.joining is not None:
            tasks["the site's list"] = self.joining.run
        tasks |= self.replicas.tasks(self.door, self.certificates)
        for courier in self.couriers:
            name = courier.notifier.name
            tasks |= {f"courier {name}": courier.run, f"sync {name}": courier.sync}
            for record in courier.waiting():
                self.vim.absorb(record)
            if courier.patience is not None:
                courier.patience.restore(await self.vim.alarms())
        # The watch first: of an earlier boot's clock nothing may be left when the store is read.
        told = await self.vim.alarms(include_cleared=True)
        begin_watch(self.watch, self.agents, self.hearing, told, self._settings)
        # Agents that come at once are told all, if the store answers in time.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LIMIT_S):
                await self.leadership.step()
                await self._settle()
        self.events.note(EventKind.CONTROLLER, f"the controller on {self.host_name} began")
        self.notes.term(self.leadership)
        try:
            async with (
                self.door.open(Path(self._settings.run_dir) / "controller.sock"),
                self._face(self),
                asyncio.TaskGroup() as group,
            ):
                for name, task in tasks.items():
                    group.create_task(keep_running(task, _said, name))
        finally:
            await self._close()

    async def status(self) -> dict[str, Any]:
        return await status_of(self)

    def _make_entries(self) -> Entries:
        return Entries(
            self.vim,
            self.agents,
            self.shelf,
            self.timings,
            self.promises.take_tenure,
            self.notes.incident,
            safe=self._safe,
            leads_elsewhere=lambda: self.replicas.leads_elsewhere,
            is_anothers=self.promises.is_anothers,
            is_alone=len(self._settings.controllers) < 2,
        )

    def _make_replicas(self, dials: Sequence[Dial] | None) -> Replicas:
        if dials is None:
            dials = peer_dials(self._settings, self.host_name, self.certificates)
        return Replicas(
            self._settings,
            self.host_name,
            store=self.store,
            registry=self.registry,
            leadership=self.leadership,
            vim=self.vim,
            entries=self.entries,
            couriers=self.couriers,
            sign_of=self.watch.sign_of,
            absorbed=self._absorbed,
            seen=self.notes.seen,
            journal=self._state / FOLDER,
            dials=dials,
            shelf=self.shelf,
        )

    def _make_greeter(self) -> Greeter:
        return Greeter(
            heard=self.hearing.greeted,
            agents=self.agents,
            promises=self.promises,
            groups=self.groups,
            registry=self.registry,
            leadership=self.leadership,
        )

    def _make_departed(self) -> Departed:
        return Departed(
            self.vim,
            self.entries,
            term=lambda: self.leadership.term,
            is_needed=self.watch.is_needed,
            shared=self.watch.shared,
        )

    def _make_questions(self) -> Questions:
        self.hosts = HostRows(
            self.agents,
            self.watch.host_rows,
            self.registry.all_known,
            lambda host: fencing_words(self.registry, host, self.leasing.trouble),
        )
        questions = Questions(
            vim=self.vim,
            agents=self.agents,
            entries=self.entries,
            promises=self.promises,
            groups=self.groups,
            host_words=self.host_words,
            leadership=self.leadership,
            tokens=self.tokens,
            events=self.events,
            audit=self.audit,
            status=self.status,
            agent_rows=lambda: agent_rows(self.agents),
            hosts=self.hosts,
        )
        questions.watch = self.watch
        questions.acknowledged = self._acknowledged
        questions.journals = lambda about: self.replicas.peers.journals(containing=about)
        return questions

    def _make_door(self) -> Door:
        claims = Claims(self.agents, self.vim.find)
        return Door(
            agents=self.agents,
            claims=claims,
            definitions=Definitions(self.registry, claims),
            entries=self.entries,
            questions=self.questions,
            greeter=self.greeter,
            copies=self.copies,
            host_words=self.host_words,
            answer_peer=self.replicas.peers.answer,
        )

    def _make_joining(self, certificates: Certificates) -> Joining:
        return make_joining(
            settings=self._settings,
            certificates=certificates,
            store=self.store,
            agents=self.agents,
            promises=self.promises,
            registry=self.registry,
            leadership=self.leadership,
            questions=self.questions,
            host_left=lambda host: forget(host, self.agents, self.hearing, self.watch),
            end_words=self.departed.end,
        )

    def _hear(self, seen: Heard) -> None:
        """What the ear heard is the watch's to judge."""
        self.watch.see(seen)

    def _tell(self, record: AlarmRecord) -> None:
        for courier in self.couriers:
            courier.hand(record)
        self.replicas.told(record)
        self.notes.alarm(record)

    def _absorbed(self, record: AlarmRecord) -> None:
        """Another controller told it to all notifiers."""
        self.notes.alarm(record)
        self.watch.shared(record)

    def _acknowledged(self, record: AlarmRecord) -> None:
        self.notes.seen(record)
        self.replicas.acknowledged(record)

    def _answered(self, record: AlarmRecord, at: int) -> None:
        alarm = record.alarm
        took_ms = self.timings.answered(alarm.key, alarm.revision, at)
        self.vim.note_answer(alarm.key, time.time_ns() // NS_PER_MS, took_ms)

    def _settled(self, record: AlarmRecord, notifier: str) -> None:
        self.replicas.settled(record, notifier)

    async def _safe(self, alarm: Alarm) -> None:
        await self.replicas.safe(alarm)

    async def _began(self, term: int) -> None:
        await self.registry.begin(term)

    async def _look(self) -> None:
        """Once a second: what must be told of ourselves, and what waited for the store."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.notes.term(self.leadership)
            await self._settle()
            try:
                losses = add_up(self.losses())
                timings = self.timings
                at = time.monotonic_ns()
                refused = "; ".join(said for one in self.couriers if (said := one.refused()))
                p99_ms, store = timings.p99_ms(), self.replicas.store_trouble
                await self.own_alarms.look(p99_ms, timings.count, losses, at, refused, store)
            except (VimAway, VimRefused) as error:
                log.warning("the VIM was not told of the controller's own state: %s", error)

    async def _settle(self) -> None:
        """While we lead: the groups of the settings once in each term, and now and then agents
        that came too early and alarms that somebody else was to tell."""
        if self.leadership.term is None:
            return
        try:
            if self._settled_term != self.leadership.term:
                await self.groups.put_written()
                self._settled_term = self.leadership.term
            self.greeter.greet_again()
            self.replicas.settle()
        except StoreAway as away:
            log.warning("what the store must know waits: %s", away)

    def losses(self) -> dict[str, Callable[[], Losses]]:
        found: dict[str, Callable[[], Losses]] = {
            "alarms": self.vim.losses,
            "incidents": self.shelf.losses,
            "recorder copies": self.copies.losses,
            "host records": self.host_words.losses,
            "events": self.events.losses,
            "audit": self.audit.losses,
        }
        for courier in self.couriers:
            found[f"outbox of {courier.notifier.name}"] = courier.losses
        return found

    async def _close(self) -> None:
        """What is half done is done again by the next start: nothing here must be waited for."""
        await self.entries.close()
        self.watch.close()
        self.recoverer.close()
        self.migrating.close()
        try:
            await self.leadership.end()
        except Exception:
            log.exception("the term could not be ended")
        for courier in self.couriers:
            await courier.close()
        await self.vim.close()
        await asyncio.to_thread(self.shelf.close)
        await asyncio.to_thread(self.events.close)
        await self.store.close()


def _said(name: str, failure: BaseException | None) -> None:
    log.error("%s ended and is begun again", name, exc_info=failure)
