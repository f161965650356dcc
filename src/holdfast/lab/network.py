"""The wires of a lab are bridges in a network namespace of their own; every host plugs into each.

Plane a carries guests as well: a host's eth0 lies in its bridge br0. Plane b is eth1 alone.
"""

from dataclasses import dataclass
from pathlib import Path

from holdfast.lab.commands import LabError, run_command
from holdfast.lab.namespaces import Holder, HolderStart

# Every lab has the same addresses: no two labs share a network namespace.
PREFIX_LENGTH = 24
# Guests plug into this bridge of their host, which holds the host's address.
HOST_BRIDGE = "br0"
LIMIT_S = 20
# Not a host: what stands outside of all of them, such as a VIM that hears alarms.
OUTSIDE = 254


@dataclass(frozen=True)
class LabPlane:
    """One network that joins all hosts; `device` is where a host plugs in."""

    name: str
    network: str
    wire: str
    device: str

    def address(self, number: int) -> str:
        """The address of the lab's nth host, counted from 1."""
        return f"{self.network}.{number}"

    def mac(self, number: int) -> str:
        """The host's hardware address: the same after each boot, as others remember it."""
        return f"02:00:00:00:{ord(self.name):02x}:{number:02x}"

    def cable(self, host: str) -> str:
        """The wire's end of a host's cable."""
        return host if self.name == "a" else f"{host}-{self.name}"


PLANES = (
    LabPlane("a", "10.77.0", "wire", "eth0"),
    LabPlane("b", "10.78.0", "wire-b", "eth1"),
)


def find_plane(name: str) -> LabPlane:
    """The plane of this name; raises LabError and names them all if there is none."""
    for plane in PLANES:
        if plane.name == name:
            return plane
    raise LabError(f"the lab has no plane {name}; it has {', '.join(each.name for each in PLANES)}")


def start_wire(lab: str, record: Path) -> Holder:
    """Make the lab's wires; their holder is recorded first, so that a crash hides nothing.

    Their hardware addresses are given: else each would change whenever a cable is taken away, and
    whoever knew the old one would speak to nobody for seconds.
    """
    start = HolderStart(lab, ["wire"])
    wire = start.wait_holder()
    wire.save(record)
    start.close()
    for plane in PLANES:
        run_ip(
            wire,
            f"link add {plane.wire} address {plane.mac(OUTSIDE)} type bridge",
            f"addr add {plane.address(OUTSIDE)}/{PREFIX_LENGTH} dev {plane.wire}",
            f"link set {plane.wire} up",
        )
    return wire


def plug_host(wire: Holder, host: Holder, name: str, number: int) -> None:
    """Lay cables from the wires to a host, and give the host its address on each."""
    unplug_host(wire, name)
    for plane in PLANES:
        cable = plane.cable(name)
        run_ip(
            wire,
            f"link add {cable} type veth peer name {plane.device} address {plane.mac(number)}"
            f" netns {host.pid}",
            f"link set {cable} master {plane.wire} up",
        )
        holds_address = plane.device
        if plane.name == "a":
            holds_address = HOST_BRIDGE
            run_ip(
                host,
                f"link add {HOST_BRIDGE} address {plane.mac(number)} type bridge",
                f"link set {plane.device} master {HOST_BRIDGE} up",
            )
        run_ip(
            host,
            f"addr add {plane.address(number)}/{PREFIX_LENGTH} dev {holds_address}",
            f"link set {holds_address} up",
        )


def unplug_host(wire: Holder, name: str) -> None:
    """Take away the cables of a host, if some are left from before its power cut.

    The kernel removes a dead host's cables by itself, but some time later.
    """
    for plane in PLANES:
        try:
            run_ip(wire, f"link del {plane.cable(name)}")
        except LabError as error:
            if "Cannot find device" not in str(error):
                raise


def run_ip(holder: Holder, *lines: str) -> None:
    """Commands of `ip` in a network namespace; raises LabError at the first that fails."""
    run_command(
        ["nsenter", "--target", str(holder.pid), "--net", "--", "ip", "-batch", "-"],
        timeout_s=LIMIT_S,
        stdin_text="\n".join([*lines, ""]),
    )
