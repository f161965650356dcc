"""How long work on this host stood still for want of CPU, memory or I/O: the kernel's own count.

Source: /proc/pressure (Documentation/accounting/psi.rst, Linux 4.20). Where it is not, nothing is.
"""

from pathlib import Path

FOLDER = Path("/proc/pressure")
# All work stood still; of the CPU the kernel counts, for a whole host, only that some did.
COUNTED = {"cpu": "some", "memory": "full", "io": "full"}


def read_pressure(folder: Path = FOLDER) -> dict[str, str]:
    """cpu, memory and io, each as the kernel writes it."""
    found = {}
    for name in COUNTED:
        try:
            found[name] = (folder / name).read_text().strip()
        except OSError:
            continue
    return found


def stalled_us(name: str, text: str) -> int:
    """In all, since the boot."""
    for line in text.splitlines():
        kind, *fields = line.split()
        for field in fields:
            key, _, value = field.partition("=")
            if (kind, key) == (COUNTED[name], "total") and value.isdigit():
                return int(value)
    return 0
