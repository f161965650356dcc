"""What the kernel's folder of network devices says: which there are, and which are hardware."""

from pathlib import Path

FOLDER = Path("/sys/class/net")


def has_device(name: str) -> bool:
    """Whether the kernel has a network device of this name."""
    return (FOLDER / name).is_dir()


def is_physical(name: str) -> bool:
    """Whether there is hardware behind it (or what a hypervisor shows as such)."""
    return (FOLDER / name / "device").exists()
