"""The wire of a lab is a bridge in a network namespace of its own, and every host plugs into it."""

from pathlib import Path

from holdfast.lab.commands import LabError, run_command
from holdfast.lab.namespaces import Holder, HolderStart

# Every lab has the same addresses: no two labs share a network namespace.
NETWORK = "10.77.0"
PREFIX_LENGTH = 24
WIRE_BRIDGE = "wire"
# Guests plug into this bridge of their host, which holds the host's address.
HOST_BRIDGE = "br0"
LIMIT_S = 20


def address_of_host(number: int) -> str:
    """The address of the lab's nth host, counted from 1."""
    return f"{NETWORK}.{number}"


def start_wire(lab: str, record: Path) -> Holder:
    """Make the lab's wire; its holder is recorded first, so that a crash leaves nothing unknown."""
    start = HolderStart(lab, ["wire"])
    wire = start.wait_holder()
    wire.save(record)
    start.close()
    _run_ip(wire, f"link add {WIRE_BRIDGE} type bridge", f"link set {WIRE_BRIDGE} up")
    return wire


def plug_host(wire: Holder, host: Holder, name: str, address: str) -> None:
    """Lay a cable from the wire to a host's eth0, and put the host's address on its bridge."""
    unplug_host(wire, name)
    _run_ip(
        wire,
        f"link add {name} type veth peer name eth0 netns {host.pid}",
        f"link set {name} master {WIRE_BRIDGE} up",
    )
    _run_ip(
        host,
        f"link add {HOST_BRIDGE} type bridge",
        f"link set eth0 master {HOST_BRIDGE} up",
        f"addr add {address}/{PREFIX_LENGTH} dev {HOST_BRIDGE}",
        f"link set {HOST_BRIDGE} up",
    )


def unplug_host(wire: Holder, name: str) -> None:
    """Take away the cable of a host, if one is left from before its power cut.

    The kernel removes a dead host's cable by itself, but some time later.
    """
    try:
        _run_ip(wire, f"link del {name}")
    except LabError as error:
        if "Cannot find device" not in str(error):
            raise


def _run_ip(holder: Holder, *lines: str) -> None:
    run_command(
        ["nsenter", "--target", str(holder.pid), "--net", "--", "ip", "-batch", "-"],
        timeout_s=LIMIT_S,
        stdin_text="\n".join([*lines, ""]),
    )
