"""A controller that takes hosts in, with the list of its site in memory."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import pytest

from holdfast.adapters.drivers.authority import Authority, Subject, make_key_and_request
from holdfast.adapters.drivers.certificates import Certificates, Peer, write_private
from holdfast.adapters.drivers.shelf import Shelf
from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.controller.agents import Agents
from holdfast.controller.joining import Joining
from holdfast.controller.questions import OF_SITE
from holdfast.controller.site_questions import SiteQuestions
from holdfast.facts import wire
from holdfast.facts.membership import Issued
from holdfast.facts.settings import ControllerPlace, Plane, Settings
from holdfast.ports.answers import Unanswerable
from tests.controller.etcd_in_memory import EtcdInMemory

ADDRESS = "10.0.0.1"


class House:
    """One controller, h1, with a site list in memory."""

    def __init__(
        self,
        folder: Path,
        store: str = "etcd",
        make_store: Callable[[], StoreInMemory] = StoreInMemory,
    ) -> None:
        authority, other = Authority.make("site"), Authority.make("store")
        key, request = make_key_and_request()
        me = Subject(host="a1", host_name="h1", addresses=(ADDRESS,), is_controller=True)
        for name, text in {
            "ca.crt": authority.certificate,
            "ca.key": authority.key,
            "host.key": key,
            "host.crt": authority.sign(request, me).pem,
            "store-ca.crt": other.certificate,
            "store-ca.key": other.key,
        }.items():
            write_private(folder / "tls" / name, text)
        place = ControllerPlace(name="h1", address=ADDRESS, planes={"a": ADDRESS, "b": "10.1.0.1"})
        settings = Settings(
            tls_dir=str(folder / "tls"),
            store=store,
            controllers=(place,),
            planes=(Plane(name="a", address=ADDRESS),),
        )
        self.certificates = Certificates(folder / "tls")
        self.shelf = Shelf(folder / "kept.db")
        self.agents = Agents(self.shelf)
        self.store = make_store()
        self.etcd = EtcdInMemory(ADDRESS)
        self.bound: list[str] = []
        self.armed: set[str] = set()
        self.stranded: dict[str, list[str]] = {}
        self.forgotten: list[str] = []
        self.left: list[str] = []
        self.ended: dict[str, str] = {}
        self.joining = Joining(
            settings=settings,
            certificates=self.certificates,
            store=self.store,
            agents=self.agents,
            reach_store=lambda _endpoints: self.etcd,
            bound_vms=lambda _host: self.bound,
            is_armed=lambda host: host in self.armed,
            stranded_vms=lambda host: self.stranded.get(host, []),
            forget_host=self._forget,
            host_left=self.left.append,
            end_words=self._end_words,
        )

    async def _end_words(self, gone: Mapping[str, str]) -> None:
        self.ended = dict(gone)

    async def _forget(self, host: str) -> None:
        self.forgotten.append(host)

    async def ask(self, name: str, /, **args: Any) -> Any:
        handlers = SiteQuestions(self.joining).handlers()
        assert set(handlers) == OF_SITE, "a controller without a site must know what it has not"
        handler = handlers[name]
        return await handler(wire.Question(id=1, name=name, args=args, by="anna"))

    async def token(self, **args: Any) -> str:
        return str((await self.ask("join-new", **args))["token"])

    async def join(self, token: str, name: str = "h4", /, **said: Any) -> dict[str, Any]:
        request = make_key_and_request()[1]
        asked = {
            "token": token,
            "request": request,
            "host": f"id{name}",
            "host_name": name,
            "addresses": ["10.0.0.4"],
            **said,
        }
        return await self.joining.join(asked)

    def peer(self, name: str, names: tuple[str, ...] = (), is_controller: bool = False) -> Peer:
        return Peer(
            host=f"id{name}",
            host_name=name,
            is_controller=is_controller,
            serial="1",
            ends_utc_ms=1,
            names=names,
        )

    async def renew(self, peer: Peer, /, **said: Any) -> tuple[str, ...]:
        """The addresses that the new certificate holds, as the site's list says."""
        before = {one.serial for one in self.issued(peer.host_name)}
        await self.joining.renew({"request": make_key_and_request()[1], **said}, peer)
        [new] = [one for one in self.issued(peer.host_name) if one.serial not in before]
        return new.addresses

    def addresses(self, name: str) -> tuple[str, ...]:
        """Of its newest certificate."""
        return self.issued(name)[-1].addresses

    def issued(self, name: str) -> list[Issued]:
        found = [one for one in self.joining.members.valid() if one.host_name == name]
        return sorted(found, key=lambda one: one.made_utc_ms)


Story = Callable[[House], Coroutine[Any, Any, None]]


def run(
    folder: Path,
    story: Story,
    store: str = "etcd",
    make_store: Callable[[], StoreInMemory] = StoreInMemory,
) -> None:
    async def told() -> None:
        house = House(folder, store, make_store)
        try:
            await house.joining.look()
            await story(house)
        finally:
            house.shelf.close()

    asyncio.run(told())


def refused(folder: Path, story: Story, store: str = "etcd") -> tuple[str, str]:
    with pytest.raises(Unanswerable) as caught:
        run(folder, story, store)
    return str(caught.value), caught.value.hint
