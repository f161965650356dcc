"""A lab host's own Open vSwitch, with the data path in user space, and somebody who talks over it.

guest namespace          host                          wire namespace
vm1: 10.79.0.1  ──vm1──  bridge br-vm  ──up1──  ──h1-up1  10.79.0.254
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from holdfast.lab.commands import LabError
from holdfast.lab.host import Host, find_wire
from holdfast.lab.namespaces import Holder, wait_until_dead
from holdfast.lab.network import run_ip

BRIDGE = "br-vm"
UPLINK = "up1"
GUEST = "vm1"
BOND_BRIDGE, BOND = "br-bond", "bond0"
OUTSIDE, INSIDE = "10.79.0.254", "10.79.0.1"
RUN = "/run/openvswitch"
DATABASE = "/etc/openvswitch/conf.db"
DATABASE_PID, SWITCH_PID = f"{RUN}/ovsdb-server.pid", f"{RUN}/ovs-vswitchd.pid"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
LIMIT_S = 20.0
# What the tenants have beside the ordinary flow: so many that their loss is seen in the count.
FLOWS = tuple(
    f"priority=10,in_port={GUEST},tcp,tp_dst={port},actions=NORMAL" for port in range(8000, 8010)
)
# Names of the daemon's own log and of its socket are fixed, so that tools find them.
START_DATABASE = (
    *("/usr/sbin/ovsdb-server", DATABASE, f"--remote=punix:{RUN}/db.sock"),
    *(
        f"--pidfile={DATABASE_PID}",
        "--detach",
        "--log-file=/var/log/openvswitch/ovsdb-server.log",
        "--no-chdir",
    ),
)
START_SWITCH = (
    *("/usr/sbin/ovs-vswitchd", f"unix:{RUN}/db.sock", f"--pidfile={SWITCH_PID}", "--detach"),
    *("--log-file=/var/log/openvswitch/ovs-vswitchd.log", "--no-chdir"),
)


def start_vswitch(host: Host) -> None:
    """Start the switch, with one bridge, one uplink, and one guest that is not a VM."""
    host.run(["mkdir", "-p", RUN])
    if not host.path(DATABASE).exists():
        host.run(["ovsdb-tool", "create", DATABASE, SCHEMA])
    host.run(START_DATABASE)
    vsctl(host, "--no-wait", "init")
    vsctl(host, "--no-wait", "set", "open_vswitch", ".", "ovs_version=" + _version(host))
    start_daemon(host)
    vsctl(
        host, "--may-exist", "add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=netdev"
    )
    plug_uplink(host)
    _make_guest(host)
    for flow in FLOWS:
        host.run(["ovs-ofctl", "add-flow", BRIDGE, flow])


@contextmanager
def vswitch_on(host: Host) -> Iterator[None]:
    """A switch for the length of a block; nothing of it is left then."""
    if host.path(SWITCH_PID).exists():
        raise LabError(f"{host.name} has a virtual switch: this makes one of its own")
    try:
        start_vswitch(host)
        yield
    finally:
        stop_vswitch(host)


def stop_vswitch(host: Host) -> None:
    """Take away all that start_vswitch made, as far as it is there, in an order that is no fault:
    the bridge leads nowhere any more, then it is gone, and its devices soon after it."""
    with suppress(LabError):
        vsctl(host, "--if-exists", "remove", "interface", UPLINK, "external_ids", "holdfast")
        vsctl(host, "--if-exists", "del-br", BRIDGE)
    with suppress(LabError):  # Its cable goes with the device at this end.
        run_ip(host.holder, f"link del {UPLINK}")
    host.run(["ip", "link", "del", GUEST], check=False)
    for pid_file in (SWITCH_PID, DATABASE_PID):
        with suppress(LabError, FileNotFoundError):
            kill_daemon(host, pid_file, signal.SIGTERM)  # As somebody who wants it.
    host.run(["ip", "netns", "del", GUEST], check=False)
    host.run(["rm", "-rf", RUN, DATABASE], check=False)
    for device in ("ovs-netdev", BRIDGE):  # What a daemon that is killed leaves.
        host.run(["ip", "link", "del", device], check=False)


def start_daemon(host: Host) -> None:
    """Start ovs-vswitchd; returns when it has done all that the database asks of it."""
    host.run(START_SWITCH)
    vsctl(host, "show")


def vsctl(host: Host, *words: str) -> str:
    """Ask the switch's database, or change it."""
    argv = ["ovs-vsctl", f"--timeout={LIMIT_S:.0f}", *words]
    return host.run(argv, timeout_s=LIMIT_S + 5).stdout


def plug_uplink(host: Host, device: str = UPLINK) -> None:
    """Lay a cable from the bridge to the wire namespace; marked as what leads out."""
    cable = cable_of(host, device)
    ends = f"link add {cable} type veth peer name {device} netns {host.pid1}"
    run_ip(find_wire(host.lab), ends, f"addr add {OUTSIDE}/24 dev {cable}", f"link set {cable} up")
    run_ip(host.holder, f"link set {device} up")
    mark = ("--", "set", "interface", device, "external_ids:holdfast=uplink")
    vsctl(host, "--may-exist", "add-port", BRIDGE, device, *mark)


def plug_bond(host: Host, *devices: str) -> None:
    """A second bridge, `br-bond`, with a bond of these devices, each with its own cable."""
    wire = find_wire(host.lab)
    vsctl(host, "add-br", BOND_BRIDGE, "--", "set", "bridge", BOND_BRIDGE, "datapath_type=netdev")
    for device in devices:
        cable = cable_of(host, device)
        run_ip(wire, f"link add {cable} type veth peer name {device} netns {host.pid1}")
        run_ip(wire, f"link set {cable} up")
        run_ip(host.holder, f"link set {device} up")
    vsctl(host, "add-bond", BOND_BRIDGE, BOND, *devices, "bond_mode=active-backup")


def join_by_bfd(host: Host, other: Host, device: str = "path") -> None:
    """Lay a cable between the bridges of two hosts, with a BFD session over it."""
    run_ip(
        host.holder,
        f"link add {device} type veth peer name {device} netns {other.pid1}",
        f"link set {device} up",
    )
    run_ip(other.holder, f"link set {device} up")
    session = ("bfd:enable=true", "bfd:min_tx=50", "bfd:min_rx=50")
    for each in (host, other):
        vsctl(each, "add-port", BRIDGE, device, "--", "set", "interface", device, *session)


def cable_of(host: Host, device: str = UPLINK) -> str:
    """The other end of an uplink's cable, in the wire namespace."""
    return f"{host.name}-{device}"


def cut_uplink(host: Host, device: str = UPLINK) -> int:
    """Take the carrier from an uplink: its other end is switched off. The ns just before."""
    at = time.monotonic_ns()
    run_ip(find_wire(host.lab), f"link set {cable_of(host, device)} down")
    return at


def mend_uplink(host: Host, device: str = UPLINK) -> None:
    """Give it its carrier back."""
    run_ip(find_wire(host.lab), f"link set {cable_of(host, device)} up")


def kill_daemon(
    host: Host, pid_file: str = SWITCH_PID, how: signal.Signals = signal.SIGKILL
) -> int:
    """Kill ovs-vswitchd, or the database; returns the ns just before."""
    daemon = Holder.of_pid(host.read_pid(pid_file))
    at = time.monotonic_ns()
    os.kill(daemon.pid, how)
    wait_until_dead([daemon])
    return at


def lower_uplink(host: Host, device: str = UPLINK) -> int:
    """Switch the uplink off on the host itself; the ns just before."""
    at = time.monotonic_ns()
    host.run(["ip", "link", "set", device, "down"])
    return at


def delete_flows(host: Host) -> int:
    """Delete every flow of the bridge; returns the ns just before."""
    at = time.monotonic_ns()
    host.run(["ovs-ofctl", "del-flows", BRIDGE])
    return at


def be_secure(host: Host) -> None:
    """The bridge carries only what flows say, which name its ports, as OpenStack's do."""
    vsctl(host, "set-fail-mode", BRIDGE, "secure")
    ways = [
        f"priority=5,in_port={first},actions={second}"
        for first, second in ((GUEST, UPLINK), (UPLINK, GUEST))
    ]
    text = "\n".join((*FLOWS, *ways, ""))  # The change of its mode took all that it had.
    host.run(["ovs-ofctl", "replace-flows", BRIDGE, "-"], stdin_text=text)


def count_flows(host: Host) -> int:
    """How many flows the bridge has."""
    said = host.run(["ovs-ofctl", "dump-aggregate", BRIDGE]).stdout
    return int(said.rpartition("flow_count=")[2].split()[0])


def add_flows(host: Host) -> None:
    """Make the flows anew, as whoever owns them would."""
    text = "\n".join((*FLOWS, "priority=0,actions=NORMAL", ""))
    host.run(["ovs-ofctl", "add-flows", BRIDGE, "-"], stdin_text=text)


def in_guest(host: Host, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a command where the guest is."""
    return host.popen(["ip", "netns", "exec", GUEST, *argv], **options)


def _make_guest(host: Host) -> None:
    """A namespace on the host, with a cable to the bridge: what a VM's tap is to the switch."""
    for words in (
        ("ip", "netns", "add", GUEST),
        ("ip", "link", "add", GUEST, "type", "veth", "peer", "name", "eth0", "netns", GUEST),
        ("ip", "link", "set", GUEST, "up"),
        ("ip", "-n", GUEST, "addr", "add", f"{INSIDE}/24", "dev", "eth0"),
        ("ip", "-n", GUEST, "link", "set", "eth0", "up"),
    ):
        host.run(list(words))
    vsctl(host, "--may-exist", "add-port", BRIDGE, GUEST)


def _version(host: Host) -> str:
    words = host.run(["ovs-vswitchd", "--version"]).stdout.split()
    found = next((word for word in words if word[0].isdigit()), "")
    if not found:
        raise LabError(f"{host.name}: ovs-vswitchd does not say its version")
    return found


def log_of(host: Host) -> Path:
    """Where the machine sees what ovs-vswitchd said."""
    return host.path("/var/log/openvswitch/ovs-vswitchd.log")
