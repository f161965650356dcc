"""A VM ends, pauses or moves because somebody wanted it: nothing of this may raise an alarm."""

import time
from collections.abc import Callable

from holdfast.lab.commands import LabError
from holdfast.lab.guests import Guest
from holdfast.lab.hosts import Host, Lab

Way = Callable[[Guest], int]
ACT_LIMIT_S = 60.0
# The agent may go down with its guest before it has said that it will.
AGENT_WENT = "End of file from agent socket"


def power_off_from_inside(guest: Guest) -> int:
    """The guest powers itself off."""
    return guest.begin(["/bin/busybox", "poweroff", "-f"])


def reboot_from_inside(guest: Guest) -> int:
    """The guest reboots itself; its QEMU process lives on."""
    return guest.begin(["/bin/busybox", "reboot", "-f"])


def shut_down_by_power_button(guest: Guest) -> int:
    """`virsh shutdown`: the guest sees its power button pressed."""
    return _act(guest, "shutdown", "--mode", "acpi")


def shut_down_by_agent(guest: Guest) -> int:
    """`virsh shutdown`: the guest's agent is asked."""
    asked_ns = time.monotonic_ns()
    try:
        return _act(guest, "shutdown", "--mode", "agent")
    except LabError as error:
        if AGENT_WENT not in str(error):
            raise
        return asked_ns


def destroy(guest: Guest) -> int:
    """`virsh destroy`: libvirt ends QEMU without a word before."""
    return _act(guest, "destroy")


def reset(guest: Guest) -> int:
    """`virsh reset`: the guest boots anew in the same process."""
    return _act(guest, "reset")


def suspend_and_resume(guest: Guest) -> int:
    """`virsh suspend`, and a second later `virsh resume`."""
    injected_ns = _act(guest, "suspend")
    time.sleep(1.0)  # The pause itself is what is shown.
    guest.virsh("resume")
    return injected_ns


def save_and_restore(guest: Guest) -> int:
    """`virsh save` into a file, then `virsh restore` from it."""
    place = f"/var/lib/libvirt/qemu/save/{guest.name}.by-hand"
    injected_ns = _act(guest, "save", place)
    guest.virsh("restore", place, with_name=False, timeout_s=ACT_LIMIT_S)
    guest.host.run(["rm", place])
    return injected_ns


def managed_save(guest: Guest) -> int:
    """`virsh managedsave`; the next start goes on from there."""
    return _act(guest, "managedsave")


def migrate_away(guest: Guest) -> int:
    """Migrate the guest live to another host of its lab."""
    target = choose_target(guest.host)
    uris = (f"qemu+tcp://{target.address}/system", "--migrateuri", f"tcp://{target.address}")
    return _act(guest, "migrate", *uris, "--live", "--unsafe", "--persistent", "--undefinesource")


def choose_target(source: Host) -> Host:
    """Another host of the same lab that has power; raises LabError if there is none."""
    for host in Lab.find(source.lab).hosts:
        if host != source and host.is_powered_on:
            return host
    raise LabError(f"lab {source.lab} has no other host to migrate to")


# Every way by its name in drills and reports.
WAYS: dict[str, Way] = {
    "guest-power-off": power_off_from_inside,
    "guest-reboot": reboot_from_inside,
    "shutdown-acpi": shut_down_by_power_button,
    "shutdown-agent": shut_down_by_agent,
    "destroy": destroy,
    "reset": reset,
    "suspend-resume": suspend_and_resume,
    "save-restore": save_and_restore,
    "managedsave": managed_save,
    "migrate": migrate_away,
}


def _act(guest: Guest, verb: str, *arguments: str) -> int:
    injected_ns = time.monotonic_ns()
    guest.virsh(verb, *arguments, timeout_s=ACT_LIMIT_S)
    return injected_ns
