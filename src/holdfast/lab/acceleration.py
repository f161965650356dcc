"""A guest runs on KVM only where KVM was seen to boot it; a device node alone proves nothing."""

import os
import select
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from holdfast.lab.commands import LabError
from holdfast.lab.guest_image import DEFAULT_CACHE, GuestImage

# Set to `kvm` or `tcg` to skip the trial.
OVERRIDE_VARIABLE = "HOLDFAST_ACCEL"
TRIAL_LIMIT_S = 5.0


@dataclass(frozen=True)
class Acceleration:
    """How guests run here, and a sentence that says why."""

    kind: Literal["kvm", "tcg"]
    reason: str


def choose_acceleration(image: GuestImage, cache: Path = DEFAULT_CACHE) -> Acceleration:
    """Choose KVM where it works; the trial is made once per boot of the machine."""
    wish = os.environ.get(OVERRIDE_VARIABLE)
    if wish == "kvm":
        return Acceleration("kvm", f"KVM, because {OVERRIDE_VARIABLE} says so")
    if wish == "tcg":
        return Acceleration("tcg", f"software emulation, because {OVERRIDE_VARIABLE} says so")
    if wish:
        raise LabError(f"{OVERRIDE_VARIABLE}={wish}: use `kvm` or `tcg`")
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return Acceleration("tcg", "software emulation, because /dev/kvm is not usable here")
    if _has_passed_trial(image, cache):
        return Acceleration("kvm", "KVM")
    return Acceleration(
        "tcg", "software emulation, because a guest did not boot on this machine's /dev/kvm"
    )


def _has_passed_trial(image: GuestImage, cache: Path) -> bool:
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    verdict = cache / f"kvm-{boot_id}"
    if not verdict.exists():
        works = _boot_on_kvm(image)
        for old in cache.glob("kvm-*"):
            old.unlink(missing_ok=True)
        verdict.write_text("works" if works else "fails")
    return verdict.read_text() == "works"


def _boot_on_kvm(image: GuestImage) -> bool:
    """Boot the sample's kernel on KVM; it works when the guest says READY in time."""
    argv = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-machine", "q35"]
    argv += ["-accel", "kvm", "-cpu", "host", "-m", "128", "-display", "none"]
    argv += ["-kernel", str(image.kernel), "-initrd", str(image.initramfs)]
    argv += ["-append", "console=ttyS0 quiet", "-serial", "stdio"]
    trial = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert trial.stdout is not None
        return _says_ready(trial.stdout.fileno(), time.monotonic() + TRIAL_LIMIT_S)
    finally:
        trial.kill()
        trial.communicate()


def _says_ready(console: int, deadline: float) -> bool:
    heard = b""
    while b"READY" not in heard:
        readable, _, _ = select.select([console], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(console, 4096) if readable else b""
        if not chunk:
            return False
        heard += chunk
    return True
