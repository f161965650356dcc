"""What machine a drill ran on: figures mean nothing without it."""

import os
import platform
from pathlib import Path

from holdfast import __version__
from holdfast.lab.acceleration import choose_acceleration
from holdfast.lab.commands import LabError, run_command
from holdfast.lab.drills.figures import Machine
from holdfast.lab.guest_image import build_guest_image


def describe_machine() -> Machine:
    """Look at this machine now."""
    return Machine(
        kernel=platform.release(),
        cores=len(os.sched_getaffinity(0)),
        accelerator=choose_acceleration(build_guest_image()).kind,
        versions={
            "holdfast": __version__,
            "python": platform.python_version(),
            "libvirt": _ask_version("libvirtd", "--version"),
            "qemu": _ask_version("qemu-system-x86_64", "--version"),
        },
    )


def read_free_mib() -> int:
    """Memory that a new VM may take, in MiB."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    raise LabError("/proc/meminfo does not say how much memory is free")


def _ask_version(*argv: str) -> str:
    """The first word with a digit in front, of what a program says of itself."""
    words = run_command(argv, timeout_s=10).split()
    return next((word for word in words if word[0].isdigit()), "unknown")
