"""What a virtual switch was: its bridges, ports and flows, as they are kept to be put back."""

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from holdfast.adapters.drivers.ovsdb import Tables, several

# What makes a port what it is; all else is what the switch's daemon says of it.
PORT_COLUMNS = (
    *("tag", "trunks", "vlan_mode", "cvlans", "protected", "bond_mode", "bond_updelay"),
    *("bond_downdelay", "lacp", "mac", "other_config", "external_ids"),
)
INTERFACE_COLUMNS = (
    *("type", "options", "mac", "mtu_request", "bfd", "other_config", "external_ids"),
    *("ofport_request", "ingress_policing_rate", "ingress_policing_burst", "lldp"),
)
KEPT_SHARE = 0.5  # A bridge with less of its flows has lost them: that is not recorded.

Columns = dict[str, Any]


class PortRecord(Struct, frozen=True, kw_only=True):
    """`columns` of the port, and those of each of its interfaces by name."""

    name: str
    columns: Columns
    interfaces: dict[str, Columns]


class BridgeRecord(Struct, frozen=True, kw_only=True):
    """`flows` and `groups` are lines as ovs-ofctl takes them."""

    name: str
    ports: dict[str, PortRecord] = {}
    flows: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class SwitchRecord(Struct, frozen=True, kw_only=True):
    """By the bridges' names. `boot` is the host's when it was recorded: another one begins with
    whatever its programs make."""

    bridges: dict[str, BridgeRecord] = {}
    boot: str = ""

    def port_of(self, interface: str) -> tuple[BridgeRecord, PortRecord] | None:
        """The bridge and the port that this interface belongs to."""
        for bridge in self.bridges.values():
            for port in bridge.ports.values():
                if interface in port.interfaces:
                    return bridge, port
        return None


def ports_of(rows: Tables, bridge: str) -> dict[str, PortRecord]:
    """The ports of a bridge, without the one that every bridge has by its own name."""
    ports, every = rows.get("Port", {}), rows.get("Interface", {})
    found = {}
    for row in rows.get("Bridge", {}).values():
        if row.get("name") != bridge:
            continue
        for port_id in several(row.get("ports", [])):
            port = ports.get(port_id, {})
            members = [every.get(each, {}) for each in several(port.get("interfaces", []))]
            name = str(port.get("name", ""))
            if name and name != bridge:
                found[name] = PortRecord(
                    name=name,
                    columns=_kept(port, PORT_COLUMNS),
                    interfaces={str(each["name"]): _interface(each) for each in members if each},
                )
    return found


def _interface(row: Mapping[str, Any]) -> Columns:
    """Its number is asked for again: flows name ports by it."""
    columns = _kept(row, INTERFACE_COLUMNS)
    number = row.get("ofport")
    if isinstance(number, int) and number > 0:
        columns["ofport_request"] = number
    return columns


def _kept(row: Mapping[str, Any], wanted: tuple[str, ...]) -> Columns:
    return {key: row[key] for key in wanted if row.get(key) not in (None, [], {}, "")}


def merged(
    before: SwitchRecord, now: SwitchRecord, has_device: Callable[[str], bool]
) -> SwitchRecord:
    """What is to be kept: all of now; of a bridge that lost its flows, those that it had before;
    and its ports that are in no bridge any more though their devices are there."""
    used = {port for bridge in now.bridges.values() for port in bridge.ports}
    bridges = {}
    for name, bridge in now.bridges.items():
        known = before.bridges.get(name, BridgeRecord(name=name))
        missing = {
            key: port
            for key, port in known.ports.items()
            if key not in used and any(map(has_device, port.interfaces))
        }
        has_lost = len(bridge.flows) < KEPT_SHARE * len(known.flows)
        of_flows = known if has_lost else bridge
        bridges[name] = BridgeRecord(
            name=name,
            ports={**missing, **bridge.ports},
            flows=of_flows.flows,
            groups=of_flows.groups,
        )
    return SwitchRecord(bridges=bridges, boot=now.boot)


def assignments(columns: Columns) -> list[str]:
    """As ovs-vsctl takes them: `tag=4`, `other_config={"a"="b"}`."""
    return [f"{key}={_written(value)}" for key, value in sorted(columns.items())]


def _written(value: Any) -> str:
    if isinstance(value, dict):
        pairs = ",".join(f"{_written(key)}={_written(each)}" for key, each in value.items())
        return f"{{{pairs}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, str) else str(value)


def load(path: Path, boot: str = "") -> SwitchRecord:
    """What was kept in this boot; nothing where there is no whole record of it."""
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=SwitchRecord)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError):
        return SwitchRecord(boot=boot)
    return kept if kept.boot == boot else SwitchRecord(boot=boot)


def save(path: Path, record: SwitchRecord) -> None:
    """Whole, or not at all. Raises OSError."""
    new = path.with_suffix(".new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as out:
        out.write(msgspec.json.encode(record))
        out.flush()
        os.fsync(out.fileno())
    new.rename(path)
