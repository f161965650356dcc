"""One controller among several: it follows the store, shares alarms, and knows its peers.

A controller that is alone does none of this: what is on its disk is safe, and it leads.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.adapters.drivers.certificates import Certificates
from holdfast.adapters.drivers.dials import tls_dial
from holdfast.adapters.drivers.shelf import Shelf
from holdfast.adapters.stores.etcd import Etcd
from holdfast.adapters.stores.sqlite import Sqlite
from holdfast.adapters.vims.builtin import Builtin
from holdfast.controller.courier import Courier
from holdfast.controller.door import Door
from holdfast.controller.entries import Entries
from holdfast.controller.following import Following
from holdfast.controller.leadership import Leadership
from holdfast.controller.own_store import OwnStore, own_store
from holdfast.controller.peers import HeardSaid, Peers
from holdfast.controller.registry import Registry
from holdfast.controller.shared import TELL_LIMIT_S, Missing, SharedAlarms
from holdfast.controller.shared_incidents import SharedIncidents
from holdfast.facts.alarms import Alarm, AlarmRecord, AlarmState
from holdfast.facts.hearing import Sign
from holdfast.facts.settings import ControllerPlace, Settings
from holdfast.ports.link import Dial
from holdfast.ports.store import Held, Store, StoreAway

log = logging.getLogger(__name__)

SHARED, STORE_ID = "shared-alarm", "store-id"
TIDY_S = 60.0
ADDRESS_RETRY_S = 1.0
Task = Callable[[], Awaitable[None]]


def make_store(settings: Settings, state: Path, certificates: Certificates | None) -> Store:
    """The one that the settings name. Raises CertificateProblem."""
    if settings.store == "etcd":
        is_tls = any(one.startswith("https:") for one in settings.etcd_endpoints)
        tls = certificates.store_context() if certificates is not None and is_tls else None
        return Etcd(settings.etcd_endpoints, tls)
    return Sqlite(state / "store.db")


def peer_dials(settings: Settings, host_name: str, certificates: Certificates | None) -> list[Dial]:
    if certificates is None:
        return []
    return [
        tls_dial(place.name, place.address, settings.link_port, lambda: certificates)
        for place in settings.controllers
        if place.name != host_name
    ]


def _limits(settings: Settings, couriers: Sequence[Courier]) -> dict[str, float]:
    """For how many seconds each notifier may be told by another controller before we do."""
    programs = {one.name: one.timeout_s for one in settings.execs}
    names = (courier.notifier.name for courier in couriers)
    return {name: TELL_LIMIT_S + programs.get(name, 0.0) for name in names}


class Replicas:
    """`sign_of` says whether pulses of a host arrive here; `absorbed` hears what others told, and
    `seen` what a person acknowledged at one of them."""

    def __init__(
        self,
        settings: Settings,
        host_name: str,
        *,
        store: Store,
        registry: Registry,
        leadership: Leadership,
        vim: Builtin,
        entries: Entries,
        couriers: Sequence[Courier],
        sign_of: Callable[[str], Sign],
        absorbed: Callable[[AlarmRecord], None],
        seen: Callable[[AlarmRecord], None] = lambda _: None,
        journal: Path,
        dials: Sequence[Dial],
        shelf: Shelf,
    ) -> None:
        self.is_alone = len(settings.controllers) < 2 and not dials
        self._settings, self._host_name = settings, host_name
        self._leadership, self._vim, self._couriers = leadership, vim, couriers
        self._absorbed, self._seen = absorbed, seen
        self.following = Following(store)
        self.following.add("", registry.take_all, registry.take, registry.forget_all)
        self.shared = SharedAlarms(
            store,
            absorb=self._absorb,
            hand=self._hand,
            kept=self._mark,
            forget=self._forget,
            notifiers=_limits(settings, couriers),
            quick=[one.name for one in settings.webhooks],
        )
        alarms = self.shared.folder
        self.following.add(alarms.name, self._loaded, alarms.changed, self._older)
        self.incidents = SharedIncidents(store, entries.keep_incident)
        folder = self.incidents.folder
        self.following.add(folder.name, folder.loaded, folder.changed, folder.forget_all)
        if not self.is_alone:
            entries.share_incident = self.incidents.note
        self._shelf = shelf
        self.own_store: OwnStore | None = None
        self._registry = registry
        self._store_id = shelf.all(STORE_ID).get(STORE_ID, b"").decode()
        # Alarms that the store had, and at which revision.
        self._marks = {key: int(value) for key, value in sorted(shelf.all(SHARED).items())}
        self.peers = Peers(host_name, dials, journal)
        self.peers.heard = lambda host: HeardSaid(sign=sign_of(host))
        for courier in couriers if not self.is_alone else ():
            self._share_patience(courier)

    @property
    def place(self) -> ControllerPlace | None:
        """Where this controller is reached."""
        return self._settings.place_of(self._host_name)

    @property
    def store_trouble(self) -> str:
        """Of the store's member on this host, or empty."""
        return self.own_store.trouble if self.own_store is not None else ""

    def tasks(self, door: Door, certificates: Certificates | None) -> dict[str, Task]:
        tasks: dict[str, Task] = {}
        if not self.is_alone:
            tasks["following the store"] = self.following.run
            tasks["shared alarms"] = self.shared.folder.run
            tasks["shared incidents"] = self.incidents.folder.run
            tasks["what is long over"] = self._tidy
            tasks["peers"] = self.peers.run
        self.own_store = own_store(self._settings, self._host_name, certificates)
        if self.own_store is not None:
            tasks["the store here"] = self.own_store.run
        place = self.place
        if certificates is not None and place is not None:
            gate = door.gate(certificates)
            port = self._settings.link_port

            async def let_in() -> None:
                """At a boot the address may come later than we do."""
                while True:
                    try:
                        await gate.run(place.address, port)
                    except OSError as error:
                        log.warning("no link can be taken at %s: %s", place.address, error)
                        await asyncio.sleep(ADDRESS_RETRY_S)

            tasks["links"] = let_in
        return tasks

    def told(self, record: AlarmRecord) -> None:
        """It was handed to our couriers: now let the others know."""
        if not self.is_alone:
            self.shared.note(record)

    def acknowledged(self, record: AlarmRecord) -> None:
        """A person has seen it. What is long over is not shared anew for that."""
        alarm = record.alarm
        is_shared = self.shared.folder.get(alarm.key) is not None
        if not self.is_alone and (is_shared or alarm.state is not AlarmState.CLEARED):
            self.shared.note(record, self._told_of(record))

    def settled(self, record: AlarmRecord, notifier: str) -> None:
        if not self.is_alone:
            self.shared.answered(record, notifier)

    async def safe(self, alarm: Alarm) -> None:
        """Return when an alarm outlives the loss of this controller; in any case soon."""
        if not self.is_alone:
            await self.shared.wait_safe(alarm)

    @property
    def leads_elsewhere(self) -> bool:
        leader = self._leadership.leader
        return leader not in ("", self._host_name)

    def settle(self) -> None:
        """Now and then, while we lead and know what others shared: hand on what is missing."""
        term = self._leadership.term
        if self.is_alone or term is None or not self.following.is_live:
            return
        if self.shared.adopt(term):
            for courier in self._couriers:
                courier.wake()

    def shown(self) -> dict[str, Any]:
        """For status."""
        kind = self._settings.store
        if self.is_alone:
            return {"leader": self._leadership.leader, "controllers": {}, "store_kind": kind}
        return {
            "store_kind": kind,
            "leader": self._leadership.leader,
            "controllers": {self._host_name: "here", **self.peers.shown()},
            "store_is_followed": self.following.is_live,
            "alarms_to_share": self.shared.folder.waiting,
        }

    def _loaded(self, held: Mapping[str, Held], revision: int) -> None:
        """What the store had and has no more was cleared meanwhile; what it never had, or had
        only in a newer copy than this one, is for us to tell."""
        folder = self.shared.folder
        store_id = self._registry.store_id
        if store_id and store_id != self._store_id:
            if self._store_id:
                self._older()
            self._store_id = store_id
            self._shelf.put(STORE_ID, STORE_ID, store_id.encode())
        folder.loaded(held, revision)
        there = folder.all()
        for key in [key for key, at in self._marks.items() if key not in there and at <= revision]:
            self._forget(key)
        for record in self._vim.open_ones():
            known = there.get(record.alarm.key)
            if known is None or (record.acknowledged_by and not known.record.acknowledged_by):
                self.shared.note(record, self._told_of(record))
        for key, shared in there.items():
            own = self._vim.find(key)
            if own is not None and own.alarm.revision > shared.record.alarm.revision:
                self._share_late(own)

    def _share_late(self, record: AlarmRecord) -> None:
        """It was told from here, and this controller ended before the store had it. Whoever was
        paged by another one meanwhile must hear of it as well."""
        told = self._told_of(record)
        self.shared.note(record, told)
        paged = [one.notifier.name for one in self._couriers if one.patience is not None]
        self._hand([(record, [name for name in paged if name not in told])])

    def _told_of(self, record: AlarmRecord) -> tuple[str, ...]:
        is_answered = record.answered_utc_ms is not None
        return tuple(one.name for one in self._settings.webhooks) if is_answered else ()

    def _older(self) -> None:
        """The store is another one, or an older copy: that it lacks an alarm says nothing."""
        self.shared.folder.forget_all()
        for key in self._marks:
            self._shelf.put(SHARED, key, None)
        self._marks.clear()

    def _mark(self, key: str) -> None:
        revision = self.shared.folder.revision(key)
        if self._marks.get(key) != revision:
            self._marks[key] = revision
            self._shelf.put(SHARED, key, b"%d" % revision)

    def _forget(self, key: str) -> None:
        """Its end is long past, and was told."""
        if key in self._marks:
            del self._marks[key]
            self._shelf.put(SHARED, key, None)
        record = self._vim.find(key)
        is_open = record is not None and record.alarm.state is not AlarmState.CLEARED
        if is_open and self.shared.folder.get(key) is None:
            self._vim.forget(key)
            for courier in self._couriers:
                if courier.patience is not None:
                    courier.patience.forget(key)

    def _absorb(self, record: AlarmRecord) -> None:
        key, revision = record.alarm.key, record.alarm.revision
        before = self._vim.find(key)
        if self._vim.absorb(record):
            if before is None or before.alarm.revision != revision:
                self._absorbed(record)
            elif record.acknowledged_by and not before.acknowledged_by:
                self._seen(record)
        own, stored = self._vim.find(key), self.shared.folder.stored(key)
        if own is not None and own.alarm.revision > revision:
            return  # We have said more of it since.
        heard = stored.heard if stored is not None else ()
        for courier in self._couriers:
            courier.absorb(record, is_end_told=courier.notifier.name in heard)

    def _share_patience(self, courier: Courier) -> None:
        """What one of us has told a pager, all have told it; the leader does."""
        if courier.patience is not None:
            name = courier.notifier.name
            courier.patience.is_ours = lambda: self._leadership.term is not None
            courier.patience.told_elsewhere = lambda record: self.shared.was_told(record, name)

    def _hand(self, found: Sequence[Missing]) -> None:
        waiting = {
            (courier.notifier.name, one.alarm.key, one.alarm.revision)
            for courier in self._couriers
            for one in courier.waiting()
        }
        for record, names in found:
            key, revision = record.alarm.key, record.alarm.revision
            own = self._vim.find(key)
            if own is not None and own.alarm.revision > revision:
                self.shared.note(
                    own
                )  # Told from here while the store was away: it only lacks that.
                continue
            for courier in self._couriers:
                name = courier.notifier.name
                if name in names and (name, key, revision) not in waiting:
                    courier.hand(record)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(TIDY_S)
            term = self._leadership.term
            if term is not None:
                try:
                    await self.shared.folder.delete(self.shared.outlived(), term)
                    await self.incidents.folder.delete(self.incidents.outlived(), term)
                except StoreAway as away:
                    log.debug("what is long over stays in the store: %s", away)
