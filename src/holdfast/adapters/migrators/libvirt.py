"""libvirt's own live migration, from agent to agent through a tunnel with the site's certificates.

libvirt is told of a Unix socket; what goes through it is carried by a process at each end, which
knows the other host by its certificate. So nothing of a migration is ever sent in the clear.
"""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from holdfast.adapters.drivers.certificates import Certificates
from holdfast.adapters.drivers.libvirt_client import LibvirtClient
from holdfast.adapters.drivers.private_folder import make_private_folder
from holdfast.adapters.drivers.worker_link import Worker, WorkerGone
from holdfast.facts.migrations import End, Progress
from holdfast.ports.hypervisor import CallFailed
from holdfast.ports.migrator import Looked, Migrator, Place

TUNNEL = "holdfast.adapters.drivers.migration_tunnel"
READY_LIMIT_S = 20.0
OVERRUN_S = 60.0  # After the limit it is called off; libvirt has this long to see to that.
CALL_MS = 15_000
LOOK_S = 0.5
SWEEP_S = (5.0, 10.0)
SOCKETS = (Path("/run/libvirt/libvirt-sock"), Path("/run/libvirt/virtqemud-sock"))
NO_CERTIFICATES = (
    "this host has no certificate of the site: nothing would protect the guest's memory"
)


class _Tunnel:
    """One end's process. `newest` is the last thing that went wrong in it."""

    def __init__(self, args: list[str]) -> None:
        self._worker = Worker(TUNNEL, args, self._heard, self._lost)
        self._ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.newest = ""

    async def open(self) -> int:
        """The port of its end that listens. Raises CallFailed."""
        try:
            await self._worker.start()
            async with asyncio.timeout(READY_LIMIT_S):
                return await self._ready
        except TimeoutError:
            raise CallFailed("the migration's tunnel does not open") from None

    async def close(self) -> None:
        await self._worker.kill()

    def _heard(self, message: Any) -> None:
        self.newest = str(message.get("error", self.newest))
        if self._ready.done():
            return
        if "port" in message:
            self._ready.set_result(int(message["port"]))
        else:
            self._ready.set_exception(CallFailed(self.newest))

    def _lost(self) -> None:
        if not self._ready.done():
            self._ready.set_exception(CallFailed(self.newest or "the migration's tunnel ended"))


class LibvirtMigrator:
    """`port` is where this host lets migrations in."""

    def __init__(
        self,
        uri: str,
        *,
        tls_dir: str,
        run_dir: Path,
        port: int,
        sockets: tuple[Path, ...] = SOCKETS,
    ) -> None:
        self._client = LibvirtClient(uri)
        self._tls_dir, self._folder, self._port = tls_dir, run_dir / "migration", port
        self._sockets = sockets
        self._tunnels: dict[str, _Tunnel] = {}
        self._sending: set[str] = set()
        self._receiving: set[str] = set()
        self._sweepings: set[asyncio.Task[None]] = set()
        self._unwanted: set[str] = set()  # Of those that are sent: they were called off.

    def why_not(self) -> str:
        return "" if Certificates.is_here(self._tls_dir) else NO_CERTIFICATES

    async def receive(self, vm: str, source: str, address: str) -> int:
        socket = next((one for one in self._sockets if one.exists()), None)
        if socket is None:
            raise CallFailed(f"libvirt has no socket here: {self._sockets[0]}")
        self._receiving.add(vm)
        return await self._open(vm, ["receive", self._tls_dir, source, address], self._port, socket)

    async def send(self, vm: str, place: Place, limit_s: float) -> None:
        if vm in self._sending:
            raise CallFailed("it is being moved already")
        self._sending.add(vm)
        try:
            make_private_folder(self._folder)
            door = self._folder / f"{vm}.sock"
            await self._open(
                vm, ["send", self._tls_dir, place.host, place.address], place.port, door
            )
            await self._send(vm, door, limit_s)
        finally:
            await self._close_tunnel(vm)
            self._sending.discard(vm)
            self._unwanted.discard(vm)

    async def _send(self, vm: str, door: Path, limit_s: float) -> None:
        uri = f"qemu+unix:///system?socket={quote(str(door))}"
        limit_ms = (limit_s + OVERRUN_S) * 1_000
        until = time.monotonic() + limit_s
        moving = asyncio.ensure_future(self._client.call("migrate", limit_ms, vm=vm, uri=uri))
        try:
            while not moving.done():
                await asyncio.wait([moving], timeout=LOOK_S)
                # Again and again: libvirt has nothing to call off before its own job has begun.
                if not moving.done() and (vm in self._unwanted or time.monotonic() > until):
                    with contextlib.suppress(CallFailed):
                        await self._abort(vm)
            await moving
        except CallFailed as failure:
            raise CallFailed(self._why(vm, str(failure), limit_s, until)) from None
        finally:
            moving.cancel()

    def _why(self, vm: str, failure: str, limit_s: float, until: float) -> str:
        if vm in self._unwanted:
            return "it was called off"
        if time.monotonic() > until:
            return f"it had not come over within {limit_s:g} s, and was called off"
        tunnel = self._tunnels.get(vm)
        return f"{failure} ({tunnel.newest})" if tunnel and tunnel.newest else failure

    async def look(self, vm: str) -> Looked:
        told = await self._client.call("migration", CALL_MS, vm=vm)
        is_awaited = vm in self._receiving and not told["is_here"]
        moves = told["moves"] or is_awaited or vm in self._sending
        return Looked(
            end=End.MOVING if moves else End.RUNS if told["is_here"] else End.NOTHING,
            progress=Progress(
                total_bytes=told.get("total_bytes", 0),
                left_bytes=told.get("left_bytes", 0),
                elapsed_ms=told.get("elapsed_ms", 0),
            ),
            pause_ms=told.get("pause_ms"),
            is_left=bool(told.get("is_left")) and vm not in self._sending | self._receiving,
        )

    async def cancel(self, vm: str) -> None:
        if vm in self._sending:
            self._unwanted.add(vm)
        await self._abort(vm)

    async def _abort(self, vm: str) -> None:
        await self._client.call("abort_migration", CALL_MS, vm=vm)

    async def leave(self, vm: str) -> None:
        if vm in self._sending:
            await self.cancel(vm)
            return
        await self._close_tunnel(vm)
        # Also where an agent before this one had let it in.
        await self._client.call("end_half_migration", CALL_MS, vm=vm)
        self._receiving.discard(vm)
        sweeping = asyncio.get_running_loop().create_task(self._sweep(vm))
        self._sweepings.add(sweeping)
        sweeping.add_done_callback(self._sweepings.discard)

    async def _sweep(self, vm: str) -> None:
        """Libvirt may have been about to make room for it while its connection broke off: what
        then waits for ever is ended. It never ran, and never would."""
        for wait_s in SWEEP_S:
            await asyncio.sleep(wait_s)
            if vm in self._receiving or vm in self._sending:
                return
            with contextlib.suppress(CallFailed):
                await self._client.call("end_half_migration", CALL_MS, vm=vm)

    async def _close_tunnel(self, vm: str) -> None:
        tunnel = self._tunnels.pop(vm, None)
        if tunnel is not None:
            await tunnel.close()
        (self._folder / f"{vm}.sock").unlink(missing_ok=True)

    async def close(self) -> None:
        for sweeping in self._sweepings:
            sweeping.cancel()
        for vm in list(self._tunnels):
            await self._close_tunnel(vm)
        await self._client.close()

    async def _open(self, vm: str, args: list[str], port: int, socket: Path) -> int:
        await self._close_tunnel(vm)
        tunnel = _Tunnel([*args, str(port), str(socket)])
        self._tunnels[vm] = tunnel
        try:
            return await tunnel.open()
        except (CallFailed, WorkerGone, OSError) as error:
            await self._close_tunnel(vm)
            self._receiving.discard(vm)
            raise CallFailed(str(error)) from None


PLUGIN: type[Migrator] = LibvirtMigrator
