"""A controller with its API inside a test: the real thing over a Unix socket and over TLS."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from holdfast.adapters.drivers.authority import Authority, Subject
from holdfast.adapters.drivers.certificates import CA, CERTIFICATE, KEY
from holdfast.controller.assembly import Controller
from holdfast.faces.api.listening import SOCKET, serving
from holdfast.facts.roles import Caller, Role
from holdfast.facts.settings import Settings
from tests.controller.fake_agent import wait_for
from tests.controller.site import certify, free_port

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
async def api(folder: Path, **fields: Any) -> AsyncIterator[Api]:
    authority = Authority.make("the site of a test")
    certify(folder / "tls", authority, Subject("host-c", "controller-1", ("127.0.0.1",), True))
    (folder / "tls" / "ca.key").write_text(authority.key)
    port = free_port(["127.0.0.1"])
    given = Settings(
        state_dir=str(folder / "state"),
        run_dir=str(folder / "run"),
        tls_dir=str(folder / "tls"),
        host_name="controller-1",
        api_port=port,
        link_port=free_port(["127.0.0.1"]),
        pulse_port=0,
        **fields,
    )
    controller = Controller(given, "boot", face=lambda one: serving(one, given))
    work = asyncio.create_task(controller.run())
    try:
        await wait_for(lambda: (folder / "run" / SOCKET).exists() or work.done())
        await wait_for(lambda: controller.leadership.term is not None or work.done())
        yield Api(controller, folder, port, authority)
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
