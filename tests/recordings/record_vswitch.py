"""Record what a real Open vSwitch and the kernel say of networks in the lab, as observations.

`python -m tests.recordings.record_vswitch FOLDER [NAME...]`. Needs root. Each act is done to the
switch of a lab host; what our sensors saw of it there goes to FOLDER/NAME.jsonl.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from holdfast.lab import vswitch
from holdfast.lab.drills.processes import signal_holder
from holdfast.lab.host import Host
from holdfast.lab.hosts import Lab
from holdfast.lab.namespaces import Holder

LAB = "switch-recordings"
FIRST_S, LAST_S = 1.5, 3.5  # Before the first act, and after the last one.


def port_taken_out(host: Host, _: Host) -> None:
    vswitch.vsctl(host, "del-port", vswitch.GUEST)
    time.sleep(2)
    vswitch.vsctl(host, "add-port", vswitch.BRIDGE, vswitch.GUEST)


def carrier_lost(host: Host, _: Host) -> None:
    vswitch.cut_uplink(host)
    time.sleep(2)
    vswitch.mend_uplink(host)


def device_late(host: Host, _: Host) -> None:
    """A port is made before its device is there, as after a boot; later the device goes."""
    vswitch.vsctl(host, "--no-wait", "add-port", vswitch.BRIDGE, "tap9")
    time.sleep(1)
    host.run(["ip", "link", "add", "tap9", "type", "veth", "peer", "name", "tap9-end"])
    time.sleep(2)
    host.run(["ip", "link", "del", "tap9"])
    time.sleep(1)
    vswitch.vsctl(host, "del-port", "tap9")


def member_lost(host: Host, _: Host) -> None:
    vswitch.cut_uplink(host, "m1")
    time.sleep(2)
    vswitch.mend_uplink(host, "m1")


def path_lost(_: Host, other: Host) -> None:
    """The other end hangs: its links have a carrier, and nothing comes through."""
    daemon = Holder.of_pid(other.read_pid(vswitch.SWITCH_PID))
    signal_holder(daemon, signal.SIGSTOP)
    time.sleep(2)
    signal_holder(daemon, signal.SIGCONT)


def flows_deleted(host: Host, _: Host) -> None:
    vswitch.delete_flows(host)
    time.sleep(2)
    vswitch.add_flows(host)


def daemon_killed(host: Host, _: Host) -> None:
    vswitch.kill_daemon(host)
    time.sleep(2)
    vswitch.start_daemon(host)


ACTS: dict[str, Callable[[Host, Host], None]] = {
    act.__name__: act
    for act in (
        *(port_taken_out, carrier_lost, device_late, member_lost, path_lost),
        *(flows_deleted, daemon_killed),
    )
}


def record(host: Host, other: Host, name: str, folder: Path) -> None:
    watcher = [sys.executable, str(Path(__file__).with_name("switch_watcher.py"))]
    path = folder / f"{name}.jsonl"
    with path.open("wb") as out:
        process = host.popen(watcher, stdin=subprocess.DEVNULL, stdout=out)
        try:
            time.sleep(FIRST_S)
            ACTS[name](host, other)
            time.sleep(LAST_S)
        finally:
            process.kill()
            process.wait()
    print(f"{path}: {len(path.read_bytes().splitlines())} observations")


def main() -> None:
    folder, names = Path(sys.argv[1]), sys.argv[2:] or list(ACTS)
    folder.mkdir(parents=True, exist_ok=True)
    lab = Lab.up(2, name=LAB)
    try:
        host, other = lab.hosts
        for each in lab.hosts:
            vswitch.start_vswitch(each)
        vswitch.plug_bond(host, "m1", "m2")
        vswitch.join_by_bfd(host, other)
        time.sleep(3)
        for name in names:
            record(host, other, name, folder)
    finally:
        lab.down()


if __name__ == "__main__":
    main()
