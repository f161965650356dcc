"""Open vSwitch, mended by its own tools from what was recorded of it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path

from holdfast.adapters.drivers import switch_record
from holdfast.adapters.drivers.canary import COOKIE
from holdfast.adapters.drivers.net_devices import (
    has_carrier,
    has_device,
    is_switched_off,
    switch_on,
)
from holdfast.adapters.drivers.openflow import RUN_FOLDER, Openflow
from holdfast.adapters.drivers.ovs_tools import ToolFailed, ofctl, vsctl
from holdfast.adapters.drivers.ovsdb import SOCKET, Ovsdb, several
from holdfast.adapters.drivers.switch_record import (
    INTERFACE_COLUMNS,
    PORT_COLUMNS,
    BridgeRecord,
    PortRecord,
    SwitchRecord,
    assignments,
)
from holdfast.ports.switch import NotMended, Switch

RESTART_LIMIT_S = 15.0
UP_LIMIT_S = 10.0  # Until its daemon answers for a bridge after it was started.
FLOWS_LIMIT_S = 10.0
CARRIER_LIMIT_S = 5.0
OTHERS_LIMIT_S = 5.0  # Until somebody else who restarts the switch has done so.
PORT_LIMIT_S = 3.0
POLL_S = 0.01
OURS = f"cookie={COOKIE:#x},"
COLUMNS = {
    "Bridge": ("name", "ports", "controller"),
    "Controller": ("target", "is_connected"),
    "Port": ("name", "interfaces", *PORT_COLUMNS),
    "Interface": ("name", "ofport", "error", *INTERFACE_COLUMNS),
}
# The daemon carries nothing and asks no controller while this holds (ovs-vswitchd.conf.db(5)).
WAIT = "other_config:flow-restore-wait"
MARK = "external_ids:holdfast-restores"  # That it was us: whoever comes after us may end it.


class OpenVswitchMender:
    """What it records is kept at `path`, also for the agent that comes after this one, in this
    boot."""

    def __init__(
        self, path: Path, boot: str = "", *, socket: Path = SOCKET, folder: Path = RUN_FOLDER
    ) -> None:
        self._path, self._folder = path, folder
        self._ovsdb = Ovsdb(COLUMNS, socket)
        self._turn = asyncio.Lock()
        self.kept: SwitchRecord = switch_record.load(path, boot)

    def recorded_flows(self, bridge: str) -> int:
        """How many flows it had, without our own."""
        kept = self.kept.bridges.get(bridge)
        return sum(1 for line in kept.flows if OURS not in line) if kept else 0

    def recorded_ports(self) -> Iterator[tuple[str, str, str]]:
        """Bridge, port and interface of each that is a device of the kernel's."""
        for bridge in self.kept.bridges.values():
            for port in bridge.ports.values():
                for interface, columns in port.interfaces.items():
                    if columns.get("type", "system") == "system":
                        yield bridge.name, port.name, interface

    async def record(self) -> None:
        """A bridge that lost most of its flows keeps those that it had in the record."""
        async with self._turn:
            rows = await self._ovsdb.read()
            names = sorted(str(row["name"]) for row in rows.get("Bridge", {}).values())
            bridges = {}
            for name in names:
                flows, groups = await _dump(name)
                ports = switch_record.ports_of(rows, name)
                bridges[name] = BridgeRecord(name=name, ports=ports, flows=flows, groups=groups)
            now = SwitchRecord(bridges=bridges, boot=self.kept.boot)
            kept = switch_record.merged(self.kept, now, has_device)
            if kept != self.kept:
                self.kept = kept
                await asyncio.to_thread(switch_record.save, self._path, kept)

    @property
    def has_record(self) -> bool:
        return any(bridge.flows for bridge in self.kept.bridges.values())

    async def restart(self, begin: Callable[[], Awaitable[object]]) -> str:
        """The word to wait is taken back in any case: with it the switch would carry nothing."""
        async with self._turn:
            try:
                try:
                    await vsctl("set", "open_vswitch", ".", f"{WAIT}=true", f"{MARK}=true")
                    async with asyncio.timeout(RESTART_LIMIT_S):
                        await begin()
                    for bridge in self.kept.bridges.values():
                        await self._wait_up(bridge.name)
                        await _put_back(bridge)
                finally:
                    await _let_go()
                for bridge in self.kept.bridges.values():
                    await self._see_flows(bridge)
            except OSError as trouble:
                why = str(trouble) or f"it took longer than {RESTART_LIMIT_S:g} s"
                raise NotMended(f"ovs-vswitchd was to be restarted: {why}") from None
            count = sum(len(bridge.flows) for bridge in self.kept.bridges.values())
            return f"ovs-vswitchd was restarted, and has its {count} flows back"

    async def restore_flows(self, bridge: str) -> str:
        """Those that somebody made since stay. A controller that is connected sees what is lost,
        and makes its flows itself; what it deleted it does not want."""
        async with self._turn:
            kept = self.kept.bridges.get(bridge)
            if kept is None or not kept.flows:
                raise NotMended(f"no flows of {bridge} are on record")
            try:
                owner = await self._controller_of(bridge)
                if owner:
                    raise NotMended(f"{owner} controls {bridge}, and is there: flows are its")
                await _until(OTHERS_LIMIT_S, _carries, "somebody else restarts the switch")
                text = "\n".join((*kept.flows, ""))
                await ofctl("add-flows", bridge, "-", text=text, limit_s=FLOWS_LIMIT_S)
                await self._see_flows(kept)
            except OSError as trouble:
                raise NotMended(f"flows of {bridge} were to be restored: {trouble}") from None
            return f"{bridge} has its {len(kept.flows)} recorded flows back"

    async def missing_ports(self, bridge: str) -> tuple[str, ...]:
        rows = await self._ovsdb.read()
        there = {row.get("name") for row in rows.get("Interface", {}).values()}
        recorded = (name for of, _, name in self.recorded_ports() if of == bridge)
        return tuple(name for name in recorded if name not in there and has_device(name))

    async def rebuild_port(self, interface: str) -> str:
        """Its number among the ports is asked for again, since flows name it."""
        async with self._turn:
            found = self.kept.port_of(interface)
            if found is None:
                raise NotMended(f"no port with {interface} is on record")
            bridge, port = found
            is_system = not port.interfaces[interface].get("type")
            if is_system and not has_device(interface):
                raise NotMended(f"{interface} has no device: whoever has to make it comes first")
            try:
                await vsctl(*_made_anew(bridge.name, port))
                why = f"the switch does not use {interface}"
                await _until(PORT_LIMIT_S, lambda: self._is_used(interface), why)
            except OSError as trouble:
                raise NotMended(f"port {port.name} was to be made anew: {trouble}") from None
            return f"port {port.name} of {bridge.name} was made anew as it was recorded"

    def switched_off(self, devices: Iterable[str]) -> tuple[str, ...]:
        return tuple(device for device in devices if is_switched_off(device))

    async def raise_link(self, device: str) -> str:
        """What is switched off at the other end, or has no cable, is not mended by that."""
        try:
            switch_on(device)
            deadline = asyncio.get_running_loop().time() + CARRIER_LIMIT_S
            while not has_carrier(device):
                if asyncio.get_running_loop().time() > deadline:
                    raise NotMended(f"{device} is switched on, and has no carrier")
                await asyncio.sleep(POLL_S)
        except OSError as trouble:
            raise NotMended(f"{device} was to be switched on: {trouble.strerror}") from None
        return f"{device} was switched on, and has a carrier"

    async def clean_up(self) -> None:
        """Only what is ours: others (ovs-ctl) use the same word, and take theirs back."""
        async with self._turn:
            rows = await vsctl("--if-exists", "get", "open_vswitch", ".", MARK)
            if rows.strip():
                await _let_go()

    async def _controller_of(self, bridge: str) -> str:
        """One that is connected to it, or empty."""
        rows = await self._ovsdb.read()
        known = rows.get("Controller", {})
        for row in rows.get("Bridge", {}).values():
            if row.get("name") == bridge:
                for one in several(row.get("controller", [])):
                    if known.get(one, {}).get("is_connected") is True:
                        return str(known[one].get("target", ""))
        return ""

    async def _wait_up(self, bridge: str) -> None:
        async def answers() -> bool:
            openflow = Openflow(bridge, self._folder)
            try:
                await openflow.count()
            except OSError:
                return False
            finally:
                await openflow.close()
            return True

        await _until(UP_LIMIT_S, answers, f"{bridge} does not answer after the restart")

    async def _see_flows(self, bridge: BridgeRecord) -> None:
        """Looks again: as many as on record, or more."""
        openflow = Openflow(bridge.name, self._folder)
        try:
            has = await openflow.count()
        finally:
            await openflow.close()
        if (has or 0) < len(bridge.flows):
            raise ToolFailed(f"{bridge.name} has {has} flows, and {len(bridge.flows)} on record")

    async def _is_used(self, interface: str) -> bool:
        rows = await self._ovsdb.read()
        named = [row for row in rows.get("Interface", {}).values() if row.get("name") == interface]
        return any(isinstance(row.get("ofport"), int) and row["ofport"] > 0 for row in named)


async def _carries() -> bool:
    """Nobody has it wait for flows (ovs-ctl does, who gives them back itself)."""
    said = await vsctl("--if-exists", "get", "open_vswitch", ".", WAIT)
    return "true" not in said


async def _let_go() -> None:
    """The switch carries again."""
    wait, mark = WAIT.partition(":")[2], MARK.partition(":")[2]
    await vsctl(
        *("remove", "open_vswitch", ".", "other_config", wait, "--"),
        *("remove", "open_vswitch", ".", "external_ids", mark),
    )


async def _dump(bridge: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Flows and groups, without what was counted of them."""
    flows = await ofctl("--no-names", "--no-stats", "dump-flows", bridge, limit_s=FLOWS_LIMIT_S)
    groups = await ofctl("--no-names", "dump-groups", bridge, limit_s=FLOWS_LIMIT_S)
    return _lines(flows, "actions="), _lines(groups, "group_id=")


def _lines(said: str, word: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in said.splitlines() if word in line)


async def _put_back(bridge: BridgeRecord) -> None:
    """Into a bridge that is new: what is in it is only what its daemon makes by itself."""
    if bridge.groups:
        text = "\n".join((*bridge.groups, ""))
        await ofctl("add-groups", bridge.name, "-", text=text, limit_s=FLOWS_LIMIT_S)
    text = "\n".join((*bridge.flows, ""))
    await ofctl("replace-flows", bridge.name, "-", text=text, limit_s=FLOWS_LIMIT_S)


def _made_anew(bridge: str, port: PortRecord) -> list[str]:
    """One transaction: a port that is there in part is taken out first."""
    names = sorted(port.interfaces)
    make = ("add-port", bridge, port.name) if len(names) == 1 else ("add-bond", bridge, port.name)
    words = ["--if-exists", "del-port", bridge, port.name, "--", *make]
    words += names if len(names) > 1 else []
    if port.columns:
        words += ["--", "set", "port", port.name, *assignments(port.columns)]
    for name in names:
        if port.interfaces[name]:
            words += ["--", "set", "interface", name, *assignments(port.interfaces[name])]
    return words


async def _until(limit_s: float, is_so: Callable[[], Awaitable[bool]], why: str) -> None:
    """Raises ToolFailed with `why` when it is not so within the limit."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit_s
    while not await is_so():
        if loop.time() > deadline:
            raise ToolFailed(why)
        await asyncio.sleep(POLL_S)


PLUGIN: type[Switch] = OpenVswitchMender
