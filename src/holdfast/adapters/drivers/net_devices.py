"""The kernel's network devices: which there are, which are hardware, and how to switch one on."""

import fcntl
import socket
import struct
from pathlib import Path

FOLDER = Path("/sys/class/net")
IPV6 = Path("/proc/sys/net/ipv6/conf")
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP, _IFF_NOARP = 0x8913, 0x8914, 0x1, 0x80
_REQUEST = struct.Struct("16sH14x")  # struct ifreq with flags.


def has_device(name: str) -> bool:
    """Whether the kernel has a network device of this name."""
    return (FOLDER / name).is_dir()


def is_physical(name: str) -> bool:
    """Whether there is hardware behind it (or what a hypervisor shows as such)."""
    return (FOLDER / name / "device").exists()


def has_carrier(name: str) -> bool:
    """Whether something is at the other end; of a device that is switched off nobody knows."""
    try:
        return (FOLDER / name / "carrier").read_text().strip() == "1"
    except OSError:
        return False


def is_switched_off(name: str) -> bool:
    """Whether it is there, and somebody switched it off here (`ip link set NAME down`)."""
    try:
        return not int((FOLDER / name / "flags").read_text(), 16) & _IFF_UP
    except (OSError, ValueError):
        return False


def switch_on(name: str, *, is_quiet: bool = False) -> None:
    """`ip link set NAME up`. `is_quiet`: it never says a word of its own. Raises OSError."""
    quiet = IPV6 / name / "disable_ipv6"
    if is_quiet and quiet.exists():
        quiet.write_text("1")
    wanted = _IFF_UP | (_IFF_NOARP if is_quiet else 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
        asked = _REQUEST.pack(name.encode(), 0)
        flags: int = _REQUEST.unpack(fcntl.ioctl(door, _SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(door, _SIOCSIFFLAGS, _REQUEST.pack(name.encode(), flags | wanted))
