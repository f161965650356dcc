"""A host's cable is cut or made unreliable, on one plane or all, in one direction or both.

This is done at the wire's end with nftables, so the host's own link stays up: what is lost is
lost in silence. A power cut or a boot of the host lays new cables, which are whole.
"""

import json
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from holdfast.lab.commands import LabError, run_command
from holdfast.lab.host import Host, find_wire
from holdfast.lab.network import PLANES, find_plane

LIMIT_S = 20.0
EVERY_PLANE = tuple(plane.name for plane in PLANES)


class Way(StrEnum):
    """Which way packets are lost."""

    BOTH = "both"
    FROM_HOST = "from-host"
    TO_HOST = "to-host"


# What comes from a host enters the wire's end of its cable.
HOOKS = {
    Way.BOTH: ("ingress", "egress"),
    Way.FROM_HOST: ("ingress",),
    Way.TO_HOST: ("egress",),
}


@dataclass(frozen=True)
class Loss:
    """`percent` of the packets are lost; `between` names addresses that alone are meant."""

    percent: int = 100
    between: tuple[str, ...] = ()

    def rules(self, hook: str) -> list[str]:
        """The conditions of nftables' rules that drop."""
        chance = "" if self.percent >= 100 else f"numgen random mod 100 < {self.percent} "
        if not self.between:
            return [f"{chance}drop"]
        side = "daddr" if hook == "ingress" else "saddr"
        found = []
        for address in self.between:
            # Without ARP there is no way either: the kernel asks anew whenever it is in doubt.
            arp = f"arp {side} ip {address} "
            found += [f"ip {side} {address} {chance}drop", f"{arp}{chance}drop"]
        return found


ALL = Loss()


def cut(
    host: Host, planes: Iterable[str] = EVERY_PLANE, way: Way = Way.BOTH, loss: Loss = ALL
) -> int:
    """Lose packets of a host from now on; returns the CLOCK_MONOTONIC ns just before."""
    script = "".join(_cut_script(host, plane, way, loss) for plane in planes)
    return _run_nft(host, script)


def mend(host: Host, planes: Iterable[str] = EVERY_PLANE) -> int:
    """Lose nothing more; returns the CLOCK_MONOTONIC ns just before."""
    # A table is added before it is deleted, so that one that is not there is no error.
    script = "".join(
        f"add table netdev {table}\ndelete table netdev {table}\n"
        for table in (_table(host, plane) for plane in planes)
    )
    return _run_nft(host, script)


def cut_between(hosts: Sequence[Host], others: Sequence[Host], way: Way = Way.BOTH) -> int:
    """Let these hosts and the others not hear each other on any plane, as a split network does.

    FROM_HOST: the others do not hear these hosts, but these hear them.
    """
    cut_ns = time.monotonic_ns()
    for host in hosts:
        for plane in PLANES:
            addresses = tuple(other.address_on(plane.name) for other in others)
            cut(host, [plane.name], way, Loss(between=addresses))
    return cut_ns


def list_cuts(host: Host) -> list[str]:
    """The planes on which a host's cable loses something."""
    said = run_command([*_enter(host), "nft", "--json", "list", "tables"], timeout_s=LIMIT_S)
    tables = {each["table"]["name"] for each in json.loads(said)["nftables"] if "table" in each}
    return [plane for plane in EVERY_PLANE if _table(host, plane) in tables]


def _cut_script(host: Host, plane: str, way: Way, loss: Loss) -> str:
    table, device = _table(host, plane), find_plane(plane).cable(host.name)
    lines = [f"add table netdev {table}", f"delete table netdev {table}"]
    lines += [f"add table netdev {table}"]
    for hook in HOOKS[way]:
        place = f"netdev {table} {hook}"
        lines += [
            f"add chain {place} {{ type filter hook {hook} device {device} priority 0; }}",
            *(f"add rule {place} {rule}" for rule in loss.rules(hook)),
        ]
    return "".join(f"{line}\n" for line in lines)


def _table(host: Host, plane: str) -> str:
    return f"cut_{host.name}_{plane}"


def _enter(host: Host) -> list[str]:
    return ["nsenter", "--target", str(find_wire(host.lab).pid), "--net", "--"]


def _run_nft(host: Host, script: str) -> int:
    """Before ordinary programs, since what breaks must not be what is late."""
    argv = ["chrt", "--fifo", "60", *_enter(host), "nft", "--file", "-"]
    begun_ns = time.monotonic_ns()
    done = subprocess.run(
        argv, input=script, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise LabError(f"{host.name}: its cable cannot be cut (is nftables here?): {words[0]}")
    return begun_ns
