"""A controller with its API inside a test: the real thing over a Unix socket and over TLS."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from holdfast.adapters.drivers.authority import Authority, Subject
from holdfast.adapters.drivers.certificates import CA, CERTIFICATE, KEY
from holdfast.controller.assembly import Controller
from holdfast.faces.api.listening import SOCKET, serving
from holdfast.facts.roles import Caller, Role
from holdfast.facts.settings import ControllerPlace, Settings
from holdfast.ports.fencer import Fencer
from holdfast.ports.store import Store
from tests.controller.fake_agent import wait_for
from tests.controller.site import certify
from tests.ports import free_port

ROOT = Caller(name="anna", role=Role.ADMINISTER, origin="this host")
LIMIT = aiohttp.ClientTimeout(total=20)


@dataclass
class Api:
    """`tls` is the folder of certificates that this site signed, by host."""

    controller: Controller
    folder: Path
    port: int
    authority: Authority
    tokens: dict[str, str] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def here(self) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.UnixConnector(str(self.folder / "run" / SOCKET))
        async with aiohttp.ClientSession("http://x", connector=connector, timeout=LIMIT) as session:
            yield session

    @contextlib.asynccontextmanager
    async def there(
        self, token: str = "", certificate: Path | None = None
    ) -> AsyncIterator[aiohttp.ClientSession]:
        """Over TLS, as the bearer of a token, or with a certificate of this folder."""
        context = ssl.create_default_context(cafile=str(self.folder / "tls" / CA))
        if certificate is not None:
            context.load_cert_chain(certificate / CERTIFICATE, certificate / KEY)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with aiohttp.ClientSession(
            f"https://127.0.0.1:{self.port}",
            connector=aiohttp.TCPConnector(ssl=context),
            headers=headers,
            timeout=LIMIT,
        ) as session:
            yield session

    async def token(self, role: Role, seconds: float = 3_600) -> str:
        """One of each role, made when it is first wanted."""
        if role not in self.tokens:
            args = {"name": f"the-{role}", "role": role, "seconds": seconds}
            made = await self.controller.tokens.create(args, "anna")
            self.tokens[role] = made["token"]
        return self.tokens[role]

    def certify(self, name: str, *, is_controller: bool = False) -> Path:
        subject = Subject(name, name, ("127.0.0.1",), is_controller)
        return certify(self.folder / "hosts" / name, self.authority, subject)


@contextlib.asynccontextmanager
async def api(
    folder: Path,
    beside: Api | None = None,
    store: Store | None = None,
    fencer: Fencer | None = None,
) -> AsyncIterator[Api]:
    """`beside`: a second controller, which shares the store of that one and follows it."""
    number = 2 if beside else 1
    name, address = f"controller-{number}", f"127.0.0.{number}"
    authority = beside.authority if beside else Authority.make("the site of a test")
    certify(folder / "tls", authority, Subject(f"host-c{number}", name, (address,), True))
    (folder / "tls" / "ca.key").write_text(authority.key)
    port = beside.port if beside else free_port(["127.0.0.1", "127.0.0.2"])
    places = (ControllerPlace(name="controller-1", address="127.0.0.1"),) if beside else ()
    given = Settings(
        state_dir=str(folder / "state"),
        run_dir=str(folder / "run"),
        tls_dir=str(folder / "tls"),
        host_name=name,
        controllers=places,
        api_port=port,
        link_port=free_port(["127.0.0.1"]),
        pulse_port=0,
    )
    controller = Controller(
        given,
        "boot",
        store,
        face=lambda one: serving(one, given, address if store else ""),
        fencer=fencer,
    )
    leader = controller.leadership
    work = asyncio.create_task(controller.run())
    try:
        await wait_for(lambda: (folder / "run" / SOCKET).exists() or work.done())
        await wait_for(lambda: leader.leader or work.done())
        await wait_for(lambda: _listens(address if store else "127.0.0.1", port) or work.done())
        yield Api(controller, folder, port, authority)
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


def _listens(address: str, port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex((address, port)) == 0
