"""A whole site inside a test: controllers with real certificates and links, agents' uplinks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from holdfast.adapters.drivers.authority import Authority, Subject, make_key_and_request
from holdfast.adapters.drivers.certificates import CA, CERTIFICATE, KEY, Certificates, Peer
from holdfast.adapters.drivers.dials import tls_dial
from holdfast.adapters.outboxes.disk import DiskOutbox
from holdfast.agent.terms import Terms
from holdfast.agent.uplink import Uplink
from holdfast.controller.assembly import Controller
from holdfast.facts import actions as act
from holdfast.facts import wire
from holdfast.facts.alarms import Alarm
from holdfast.facts.membership import CERTIFICATES, Issued
from holdfast.facts.observations import Observation
from holdfast.facts.settings import ControllerPlace, Settings, Webhook
from holdfast.facts.tenure import Tenure
from holdfast.ports.link import Dial
from holdfast.ports.store import Store
from tests.controller.fake_agent import ask, ask_all, wait_for
from tests.ports import free_port

NAMES = ("alpha", "beta", "gamma")


def certify(folder: Path, authority: Authority, subject: Subject, valid_s: int = 3_600) -> Path:
    """What `holdfast join` leaves on a host."""
    folder.mkdir(parents=True, exist_ok=True)
    key, request = make_key_and_request()
    signed = authority.sign(request, subject, valid_s)
    (folder / CA).write_text(authority.certificate)
    (folder / KEY).write_text(key)
    (folder / CERTIFICATE).write_text(signed.pem + authority.certificate)
    return folder


def issued_to(me: Peer, *, revoked_utc_ms: int = 0) -> Issued:
    """What the site's list says of a certificate."""
    return Issued(
        serial=me.serial,
        host=me.host,
        host_name=me.host_name,
        is_controller=me.is_controller,
        addresses=(),
        made_utc_ms=1,
        ends_utc_ms=me.ends_utc_ms,
        revoked_utc_ms=revoked_utc_ms,
    )


async def list_certificate(store: Store, issued: Issued) -> None:
    """Whatever the list said of it before."""
    key = f"{CERTIFICATES}/{issued.serial}"
    held = await store.get(key)
    revision = held.revision if held is not None else 0
    await store.txn(holds={key: revision}, puts={key: msgspec.json.encode(issued)})


class Host:
    """An agent's uplink with its outbox, and what a leader may command it."""

    def __init__(
        self, site: "Site", name: str, certified_as: str = "", valid_s: int = 3_600
    ) -> None:
        self.name, self.boot = name, f"boot-{name}"
        subject = Subject(certified_as or name, certified_as or name)
        self.certificates = Certificates(
            certify(site.folder / name / "tls", site.authority, subject, valid_s)
        )
        self.outbox = DiskOutbox(site.folder / name / "outbox", self.boot)
        self.terms = Terms(site.folder / name / "term")
        self.welcomes: list[wire.Welcome] = []
        self.asked: list[wire.Question] = []
        self.seen: list[Observation] = []
        self.tenures: tuple[Tenure, ...] = ()
        self.uplink = Uplink(
            dials=[
                tls_dial(place.name, place.address, site.link_port, lambda: self.certificates)
                for place in site.places
            ],
            outbox=self.outbox,
            boot=self.boot,
            host=name,
            hello=self.hello,
            welcomed=self._welcomed,
            obey=self.terms.guard(self._obey),
            see=self.seen.append,
        )

    def hello(self) -> wire.Hello:
        return wire.Hello(
            version=wire.VERSION,
            host=self.name,
            host_name=self.name,
            boot=self.boot,
            state_id=f"state-{self.name}",
            stream=self.outbox.stream,
            tenures=self.tenures,
            rack="r1",  # And no key of a pulse: there is none, and nobody misses it.
        )

    def report(self, alarm: Alarm) -> None:
        self.uplink.report(act.Report(alarm=alarm))

    def up_at(self) -> list[str]:
        return [name for name, how in self.uplink.shown().items() if how in ("up", "leads")]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Host"]:
        work = asyncio.create_task(self.uplink.run())
        try:
            yield self
        finally:
            work.cancel()
            await asyncio.wait([work])
            self.outbox.close()

    def _welcomed(self, welcome: wire.Welcome) -> None:
        self.welcomes.append(welcome)
        if welcome.is_complete:
            self.terms.heard(welcome.store_id, welcome.term)

    async def _obey(self, question: wire.Question) -> wire.Reply:
        self.asked.append(question)
        data = {"protection": question.args["protection"]} if question.name == "grant" else {}
        return wire.Reply(id=question.id, data=data)


class Site:
    """`stores` gives each controller its way to the store."""

    def __init__(self, folder: Path, count: int = 3, webhook: str = "") -> None:
        self.folder = folder
        self.authority = Authority.make("test site")
        addresses = [f"127.0.1.{number + 1}" for number in range(count)]
        self.link_port = free_port(addresses)
        self.places = tuple(
            ControllerPlace(name=name, address=address)
            for name, address in zip(NAMES, addresses, strict=False)
        )
        self.webhook = webhook
        self.controllers: dict[str, Controller] = {}
        self._works: dict[str, asyncio.Task[None]] = {}

    def settings(self, place: ControllerPlace) -> Settings:
        tls = self.folder / place.name / "tls"
        if not tls.exists():
            subject = Subject(f"id-{place.name}", place.name, (place.address,), is_controller=True)
            certify(tls, self.authority, subject)
        return Settings(
            state_dir=str(self.folder / place.name / "state"),
            run_dir=str(self.folder / place.name / "run"),
            host_name=place.name,
            tls_dir=str(tls),
            controllers=self.places,
            link_port=self.link_port,
            pulse_port=0,
            store="etcd",
            webhooks=(Webhook(name="oss", url=self.webhook),) if self.webhook else (),
        )

    def begin(self, name: str, store: Store, peers: Sequence[Dial] | None = None) -> Controller:
        place = next(place for place in self.places if place.name == name)
        controller = Controller(self.settings(place), "boot", store, peers=peers)
        self.controllers[name] = controller
        self._works[name] = asyncio.create_task(controller.run())
        return controller

    async def wait_open(self, name: str) -> None:
        """Until agents of this host and of others are let in."""
        await wait_for(self.socket(name).exists)
        place = next(place for place in self.places if place.name == name)
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(place.address, self.link_port)
                    writer.close()
                    return
                await asyncio.sleep(0.02)

    async def end(self, name: str) -> None:
        work = self._works.pop(name)
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        del self.controllers[name]

    async def end_all(self) -> None:
        for name in list(self._works):
            await self.end(name)

    def socket(self, name: str) -> Path:
        return self.folder / name / "run" / "controller.sock"

    def leading(self) -> list[str]:
        return [name for name, one in self.controllers.items() if one.leadership.term is not None]

    async def wait_leader(self, limit_s: float = 20.0) -> str:
        await wait_for(lambda: len(self.leading()) == 1, limit_s)
        return self.leading()[0]

    async def ask(self, name: str, question: str, /, **args: object) -> object:
        return await ask(self.socket(name), question, **args)

    async def ask_all(self, name: str, question: str, /, **args: object) -> wire.Reply:
        return await ask_all(self.socket(name), question, **args)


@contextlib.asynccontextmanager
async def site_of(folder: Path, stores: Sequence[Store], webhook: str = "") -> AsyncIterator[Site]:
    """As many controllers as there are stores, until the block ends."""
    site = Site(folder, len(stores), webhook)
    try:
        for name, store in zip(NAMES, stores, strict=False):
            site.begin(name, store)
        for name in list(site.controllers):
            await site.wait_open(name)
        yield site
    finally:
        await site.end_all()


def plain(value: object) -> object:
    return msgspec.to_builtins(value)
