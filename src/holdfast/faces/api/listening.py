"""Where the API listens: a Unix socket for root, and TLS for everybody who may."""

import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from aiohttp import web

from holdfast.adapters.drivers.private_socket import bind_private
from holdfast.controller.assembly import Controller
from holdfast.faces.api.accepting import MOST_CONNECTIONS, accepting
from holdfast.faces.api.callers import Remote, who_is_local
from holdfast.faces.api.leading import Leader
from holdfast.faces.api.membership import add_membership
from holdfast.faces.api.server import Identify, Served, make_app
from holdfast.faces.api.streams import Streams
from holdfast.facts.settings import ControllerPlace, Settings

SOCKET = "api.sock"
KEEPALIVE_S = 30.0
SHUTDOWN_S = 1.0
BACKLOG = 512
# Both ways in may be full, and the controller's own files and links must still find room.
FILES = 2 * MOST_CONNECTIONS + 2_048


@contextlib.asynccontextmanager
async def serving(
    controller: Controller, settings: Settings, address: str = ""
) -> AsyncIterator[None]:
    """Serve until the block ends, at every address unless one is said. Raises OSError where it
    cannot listen."""
    _make_room_for_files()
    streams = Streams(controller.events)
    leader = _leader(controller, settings)

    def app(identify: Identify) -> web.Application:
        served = Served(
            ask=controller.questions.ask,
            denied=controller.audit.not_permitted,
            identify=identify,
            streams=streams,
            leader=leader,
        )
        return make_app(served)

    async with contextlib.AsyncExitStack() as stack:
        here = await stack.enter_async_context(running(app(who_is_local)))
        await stack.enter_async_context(on_socket(here, Path(settings.run_dir) / SOCKET))
        if controller.certificates is not None and controller.joining is not None:
            remote = Remote(controller.tokens, controller.certificates)
            made = app(remote.identify)
            add_membership(made, controller.joining, controller.certificates)
            there = await stack.enter_async_context(running(made))
            context = controller.certificates.server_context(required=False)
            listener = stack.enter_context(_on_port(address, settings.api_port))
            await stack.enter_async_context(accepting(there, listener, context))
        yield


def _leader(controller: Controller, settings: Settings) -> Leader | None:
    """None on a host that belongs to no site: it leads itself."""
    joining = controller.joining
    if controller.certificates is None or joining is None:
        return None

    def places() -> list[ControllerPlace]:
        return [*joining.members.controllers.values(), *settings.controllers]

    return Leader(controller.certificates, places, settings.api_port)


@contextlib.asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[web.AppRunner]:
    runner = web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=KEEPALIVE_S,
        shutdown_timeout=SHUTDOWN_S,
    )
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def on_socket(runner: web.AppRunner, path: Path) -> AsyncIterator[None]:
    """A Unix socket that only its owner may open. Raises OSError."""
    with bind_private(path) as listener:
        listener.listen(BACKLOG)
        try:
            async with accepting(runner, listener):
                yield
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _on_port(address: str, port: int) -> Iterator[socket.socket]:
    """Without an address on all of both families, where there are both. Raises OSError."""
    has_v6 = socket.has_dualstack_ipv6() and Path("/proc/net/if_inet6").exists()
    is_dual = has_v6 and not address
    family = socket.AF_INET6 if is_dual or ":" in address else socket.AF_INET
    with socket.create_server(
        (address, port), family=family, backlog=BACKLOG, dualstack_ipv6=is_dual
    ) as listener:
        yield listener


def _make_room_for_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
