"""Record what a real QEMU and libvirt do in the lab, as observations.

`python -m tests.recordings.record FOLDER [NAME...]`. Needs root. Each act is done to a sample guest
of its own; what the kernel, libvirt, QEMU and the guest's agent said of it goes to
FOLDER/NAME.jsonl, in the order of its instants.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdfast.facts.observations import (
    CoreDumpBegan,
)
from holdfast.lab.event_watch import EventWatch
from holdfast.lab.guests import Guest, plan_guest
from holdfast.lab.hosts import Host, Lab
from holdfast.lab.problem_makers.crash_dumped import dump_core, is_dumping, remove_cores
from holdfast.lab.problem_makers.disk_failed import BreakableDisk, fail_disk
from holdfast.lab.problem_makers.guest_panicked import panic_guest
from holdfast.lab.problem_makers.guest_stuck import starve_guest
from holdfast.lab.problem_makers.guest_watchdog import stop_petting_watchdog
from holdfast.lab.problem_makers.libvirtd_frozen import freeze_libvirtd, thaw_libvirtd
from holdfast.lab.problem_makers.libvirtd_killed import kill_libvirtd
from holdfast.lab.problem_makers.qemu_killed import kill_qemu
from holdfast.lab.problem_makers.qemu_stopped import continue_qemu, stop_qemu
from holdfast.lab.problem_makers.stopped_on_purpose import WAYS
from tests.recordings.recorder import Recorder, now, probe_libvirt

LAB = "recordings"
# PVPANIC_CRASH_LOADED to the port of the ISA device (include/uapi/misc/pvpanic.h, QEMU).
TELL_CRASH_LOADED = r"printf '\002' | dd of=/dev/port bs=1 seek=1285 count=1"


def ends(act: Callable[[Guest], object]) -> Callable[[Recorder], None]:
    def play(recorder: Recorder) -> None:
        act(recorder.guest)
        recorder.wait_end()

    return play


def lives_on(act: Callable[[Guest], object], seconds: float = 8) -> Callable[[Recorder], None]:
    def play(recorder: Recorder) -> None:
        act(recorder.guest)
        recorder.measure(seconds)

    return play


def destroyed_while_frozen(recorder: Recorder) -> None:
    stop_qemu(recorder.guest)
    recorder.measure(9)
    recorder.guest.virsh("destroy", timeout_s=60)
    recorder.wait_end()


def killed_while_libvirt_hangs(recorder: Recorder) -> None:
    host = recorder.guest.host
    freeze_libvirtd(host)
    probe_libvirt(recorder, 2)
    kill_qemu(recorder.guest)
    recorder.wait_end()
    thaw_libvirtd(host)
    probe_libvirt(recorder, 2)


def terminated_while_libvirt_is_dead(recorder: Recorder) -> None:
    host = recorder.guest.host
    kill_libvirtd(host)
    probe_libvirt(recorder, 1)
    kill_qemu(recorder.guest, signal.SIGTERM)
    recorder.wait_end()
    host.start_libvirtd()
    probe_libvirt(recorder, 1.5)


def panicked_and_destroyed(recorder: Recorder) -> None:
    panic_guest(recorder.guest)
    time.sleep(2)
    recorder.guest.virsh("destroy")
    recorder.wait_end()


def panicked_and_reset(recorder: Recorder) -> None:
    panic_guest(recorder.guest)
    time.sleep(2)
    recorder.guest.virsh("reset")
    if recorder.guest.state() == "paused":
        recorder.guest.virsh("resume")
    recorder.guest.wait_answer()
    recorder.ping()


def cored(recorder: Recorder) -> None:
    """It crashes, and the kernel writes its core: all that while no thread of it ends."""

    def watch() -> None:
        while not is_dumping(recorder.pid):
            if not Path(f"/proc/{recorder.pid}").exists():
                return
            time.sleep(0.001)
        began = CoreDumpBegan(at=now(), incarnation=recorder.life, signal=int(signal.SIGSEGV))
        recorder.seen.append(began)

    watcher = threading.Thread(target=watch)
    watcher.start()
    dump_core(recorder.guest)
    recorder.wait_end()
    watcher.join()
    remove_cores(recorder.guest)


def crash_dumped_itself(recorder: Recorder) -> None:
    """What a crash kernel does, by hand: it tells the panic device, and ends with a reset."""
    recorder.guest.begin(["/bin/sh", "-c", TELL_CRASH_LOADED])
    recorder.measure(6, pings=False)
    recorder.guest.begin(["/bin/sh", "-c", "echo b > /proc/sysrq-trigger"])
    recorder.guest.wait_answer()
    recorder.ping()


def frozen_and_thawed(recorder: Recorder) -> None:
    stop_qemu(recorder.guest)
    recorder.measure(9)
    continue_qemu(recorder.guest)
    recorder.guest.wait_answer()
    recorder.measure(2)


def disk_mended(recorder: Recorder) -> None:
    disk = BreakableDisk(recorder.guest.host, recorder.guest.name)
    fail_disk(recorder.guest, disk)
    time.sleep(2)
    disk.mend()
    if recorder.guest.state() == "paused":
        recorder.guest.virsh("resume")
    time.sleep(3)


ACTS: dict[str, tuple[Callable[[Recorder], None], dict[str, Any]]] = {
    "killed": (ends(kill_qemu), {}),
    "crashed": (ends(lambda guest: kill_qemu(guest, signal.SIGSEGV)), {}),
    "cored": (cored, {"memory_mib": 512, "has_touched_memory": True, "is_memory_dumped": True}),
    "crash_dumped_itself": (crash_dumped_itself, {}),
    "terminated": (ends(lambda guest: kill_qemu(guest, signal.SIGTERM)), {}),
    "powered_off": (ends(WAYS["guest-power-off"]), {}),
    "shut_down": (ends(WAYS["shutdown-acpi"]), {}),
    "destroyed": (ends(WAYS["destroy"]), {}),
    "managed_saved": (ends(WAYS["managedsave"]), {}),
    "migrated": (ends(WAYS["migrate"]), {}),
    "rebooted": (lives_on(WAYS["guest-reboot"]), {}),
    "suspended_and_resumed": (lives_on(WAYS["suspend-resume"], 3), {}),
    "frozen_and_destroyed": (destroyed_while_frozen, {}),
    "frozen_and_thawed": (frozen_and_thawed, {}),
    "killed_while_libvirt_hangs": (killed_while_libvirt_hangs, {}),
    "terminated_while_libvirt_is_dead": (terminated_while_libvirt_is_dead, {}),
    "panicked_and_destroyed": (panicked_and_destroyed, {}),
    "panicked_and_reset": (panicked_and_reset, {}),
    "watchdog_reset": (lives_on(stop_petting_watchdog, 12), {"watchdog_action": "reset"}),
    "watchdog_powered_off": (ends(stop_petting_watchdog), {"watchdog_action": "poweroff"}),
    "starved": (lives_on(starve_guest, 10), {}),
    "disk_halted_it": (disk_mended, {"error_policy": "stop"}),
    "disk_failed": (disk_mended, {"error_policy": "report"}),
}


def record(name: str, host: Host, folder: Path) -> None:
    act, choices = ACTS[name]
    if "error_policy" in choices:
        policy = choices["error_policy"]
        choices = {"disk": BreakableDisk.serve(host, name).as_guest_disk(policy)}
    guest = Guest.define(host, plan_guest(LAB, name, **choices))
    with EventWatch(host) as watch:
        guest.start_and_answer()
        recorder = Recorder(guest, watch)
        act(recorder)
        recorder.write(folder / f"{name}.jsonl")
    print(f"{name}: {len(recorder.seen)} observations", flush=True)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    lab = Lab.up(hosts=2, name=LAB)
    try:
        for name in sys.argv[2:] or list(ACTS):
            host = lab.hosts[0]
            try:
                record(name, host, folder)
            except Exception as error:  # noqa: BLE001  The other acts are still worth recording.
                print(f"{name}: {error!r}", flush=True)
            for running in host.run(["virsh", "list", "--name"]).stdout.split():
                host.run(["virsh", "destroy", running], check=False)
    finally:
        lab.down()


if __name__ == "__main__":
    main()
