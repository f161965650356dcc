"""The machine's memory is broken: QEMU tells a processor of it, as a memory controller would."""

import time

from holdfast.lab.emulated.machine import Machine

# Bank, status, MCG status and misc of a machine check, as Intel's manual numbers them (SDM 3B, 16).
BANK = 9
CORRECTED = (
    0x9C00_0000_4000_0090  # Of a read, in a memory controller's bank; told by nobody, polled.
)
PATROL = 0xBD00_0000_0000_00C0  # Found by a scrub, uncorrected, action optional.
ADDRESS_IS_PHYSICAL = 0x8C
POLL_S = 1


def watch_closely(machine: Machine) -> None:
    """Have the kernel poll for corrected errors each second: it does so each five minutes."""
    place = "/sys/devices/system/machinecheck/machinecheck0/check_interval"
    machine.channel.run(["sh", "-c", f"modprobe -q msr; echo {POLL_S} > {place}"])


def correct_error(machine: Machine, address: int) -> int:
    """One corrected error at a physical address; returns the CLOCK_MONOTONIC ns just before."""
    at_ns = time.monotonic_ns()
    machine.monitor.say(f"mce 1 {BANK} {CORRECTED:#x} 0x0 {address:#x} {ADDRESS_IS_PHYSICAL:#x}")
    return at_ns


def poison(machine: Machine, address: int) -> int:
    """An uncorrected error that a scrub found; returns the CLOCK_MONOTONIC ns just before."""
    at_ns = time.monotonic_ns()
    machine.monitor.say(f"mce -b 0 {BANK} {PATROL:#x} 0x5 {address:#x} {ADDRESS_IS_PHYSICAL:#x}")
    return at_ns
