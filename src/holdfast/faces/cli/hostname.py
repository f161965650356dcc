"""What this host is called, and the addresses it has."""

import contextlib
import ipaddress
import json
import socket
import subprocess

from holdfast.facts.settings import Settings

LIMIT_S = 10


def name_of_host(settings: Settings) -> str:
    return settings.host_name or socket.gethostname()


def addresses_of_host() -> list[str]:
    """Those that other hosts can reach, as the kernel lists them."""
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        done = subprocess.run(
            ["ip", "-json", "address", "show", "up", "scope", "global"],
            capture_output=True,
            timeout=LIMIT_S,
            check=True,
        )
        rows = [row for link in json.loads(done.stdout) for row in link.get("addr_info", [])]
        found = [str(ipaddress.ip_address(row["local"])) for row in rows if "local" in row]
        return list(dict.fromkeys(found))
    return []


def address_towards(other: str) -> str:
    """The address from which this host talks to another; empty where it has no way there."""
    family = socket.AF_INET6 if ":" in other else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as door:
        door.connect((other, 9))  # Sends nothing.
        return str(door.getsockname()[0])
    return ""
