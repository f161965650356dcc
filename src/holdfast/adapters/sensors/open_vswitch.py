"""What Open vSwitch says of itself: bridges, ports, interfaces, errors, bonds and BFD sessions.

Its database is followed, never written. Where there is no Open vSwitch that is said once, and it is
looked for again every few seconds.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import structs

from holdfast.adapters.drivers.net_devices import has_device, is_physical
from holdfast.adapters.drivers.ovsdb import SOCKET, Ovsdb, Tables, one, several
from holdfast.adapters.drivers.switch_record import PORT_COLUMNS
from holdfast.facts.instants import Instant
from holdfast.facts.vswitch import (
    BridgeGone,
    InterfaceGone,
    InterfaceSeen,
    SwitchAnswered,
    SwitchAway,
)
from holdfast.ports.clock import now
from holdfast.ports.sensor import See, Sensor

log = logging.getLogger(__name__)

COLUMNS = {
    "Bridge": ("name", "ports"),
    "Port": ("name", "interfaces", *PORT_COLUMNS),
    "Interface": (
        *("name", "type", "link_state", "error", "bfd", "bfd_status", "lacp_current"),
        *("external_ids", "ofport"),
    ),
    "Open_vSwitch": ("bridges", "ovs_version"),
}
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
_NEVER = Instant(0)  # Until it is handed over.
MARK = "holdfast"  # external_ids:holdfast=uplink says of an interface that it leads out.


class OpenVswitch:
    """`state` says in a word how it is with the switch, for status. `recorded` names bridge, port
    and interface of each device that was in it; `port_set` is told that settings of a port, its tag
    for example, are not what they were."""

    name = "open_vswitch"

    def __init__(
        self,
        path: Path = SOCKET,
        *,
        recorded: Callable[[], Iterable[tuple[str, str, str]]] = tuple,
        port_set: Callable[[], None] = lambda: None,
    ) -> None:
        self._path, self._recorded, self._port_set = path, recorded, port_set
        self._port_settings: list[list[Any]] = []
        self._ovsdb = Ovsdb(COLUMNS, path)
        self._see: See = lambda _: None
        self._known: dict[str, InterfaceSeen] = {}
        self._is_connected = self._has_looked = False
        self._said = ""
        self.state = "not asked yet"

    @property
    def bridges(self) -> list[str]:
        """By their names, as the switch has them now."""
        return sorted({each.bridge for each in self._known.values()})

    async def run(self, see: See) -> None:
        """Until cancelled; after a connection that was lost everything is read anew."""
        self._see = see
        wait_s = FIRST_WAIT_S
        while True:
            self._is_connected = False
            try:
                await self._ovsdb.follow(self._changed)
            except OSError as trouble:
                self._lost(_words(trouble))
            wait_s = FIRST_WAIT_S if self._is_connected else min(wait_s * 2, LONGEST_WAIT_S)
            await asyncio.sleep(wait_s)

    def _changed(self) -> None:
        at = now()
        found = {each.interface: each for each in interfaces(self._ovsdb.rows)}
        is_first = not self._has_looked
        self._has_looked = True
        if not self._is_connected:
            self._is_connected = True
            version = one(_only(self._ovsdb.rows).get("ovs_version", ""))
            self.state = self._said = f"answers: Open vSwitch {version}"
            self._see(SwitchAnswered(at=at, version=version))
            news = list(found.values())
        else:
            news = [each for key, each in found.items() if self._known.get(key) != each]
        gone = [each for key, each in self._known.items() if key not in found]
        bridges = {each.bridge for each in found.values()}
        gone_bridges = sorted({each.bridge for each in gone} - bridges)
        self._known = found
        self._see_settings()
        if is_first:
            self._compare(found, at)
        for each in news:
            self._see(structs.replace(each, at=at))
        for each in gone:
            self._see(
                InterfaceGone(
                    at=at,
                    bridge=each.bridge,
                    port=each.port,
                    interface=each.interface,
                    has_device=each.kind == "system" and has_device(each.interface),
                )
            )
        for name in gone_bridges:
            self._see(BridgeGone(at=at, bridge=name))

    def _see_settings(self) -> None:
        rows = self._ovsdb.rows.get("Port", {}).values()
        settings = [[row.get(column) for column in ("name", *PORT_COLUMNS)] for row in rows]
        if settings != self._port_settings:
            self._port_settings = settings
            self._port_set()

    def _compare(self, found: Mapping[str, InterfaceSeen], at: Instant) -> None:
        """What was taken out while no agent looked is known from the record, and said first: else
        what is there would be taken for all."""
        for bridge, port, interface in self._recorded():
            if interface not in found:
                is_there = has_device(interface)
                self._see(
                    InterfaceGone(
                        at=at, bridge=bridge, port=port, interface=interface, has_device=is_there
                    )
                )

    def _lost(self, reason: str) -> None:
        if self._is_connected:
            self._see(SwitchAway(at=now(), reason=reason))
        if self._said != reason:
            self._said = reason
            log.log(logging.WARNING if self._known else logging.INFO, "Open vSwitch: %s", reason)
        self.state = reason


def interfaces(rows: Tables) -> Iterator[InterfaceSeen]:
    """Every interface that belongs to a port of a bridge, at instant zero."""
    ports, every = rows.get("Port", {}), rows.get("Interface", {})
    for bridge in rows.get("Bridge", {}).values():
        for port_id in several(bridge.get("ports", [])):
            port = ports.get(port_id, {})
            members = several(port.get("interfaces", []))
            for interface_id in members:
                row = every.get(interface_id)
                if row is not None and row.get("name"):
                    yield _interface(str(bridge.get("name", "")), port, row, len(members))


def _interface(bridge: str, port: dict[str, Any], row: dict[str, Any], count: int) -> InterfaceSeen:
    name, marks = str(row["name"]), row.get("external_ids") or {}
    kind = row.get("type") or "system"
    bfd, config = row.get("bfd_status") or {}, row.get("bfd") or {}
    has_bfd = str(config.get("enable", "")).lower() == "true"
    lacp = one(row.get("lacp_current", []), otherwise=None)
    is_physically_out = kind == "system" and (count > 1 or is_physical(name))
    return InterfaceSeen(
        at=_NEVER,
        bridge=bridge,
        port=str(port.get("name", "")),
        interface=name,
        kind=kind,
        link=one(row.get("link_state", [])),
        error=one(row.get("error", [])),
        bfd=str(bfd.get("state", "")) if has_bfd else "",
        bfd_diagnostic=str(bfd.get("diagnostic", "")) if has_bfd else "",
        lacp="" if lacp is None else "current" if lacp else "lost",
        members=count,
        is_uplink=marks.get(MARK) == "uplink" or is_physically_out,
        vm=str(marks.get("vm-id") or marks.get("vm-uuid") or ""),
    )


def _only(rows: Tables) -> dict[str, Any]:
    return next(iter(rows.get("Open_vSwitch", {}).values()), {})


def _words(trouble: OSError) -> str:
    if isinstance(trouble, FileNotFoundError):
        return "there is none on this host"
    if isinstance(trouble, ConnectionRefusedError):
        return "OVSDB refuses the connection"
    return str(trouble)


PLUGIN: type[Sensor] = OpenVswitch
