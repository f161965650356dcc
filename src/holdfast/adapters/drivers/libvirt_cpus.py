"""What the CPU of this host offers to VMs, as its libvirt says. Runs in a worker.

libvirt asks QEMU for it when it does not have it yet, which can take seconds: it is read in a
thread, kept for an hour, and until then nothing is said of it.
"""

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures import TimeoutError as TookLong
from typing import Any

import libvirt
import msgspec

from holdfast.adapters.drivers.cpu_xml import CannotExpand, host_cpu, identity_of

KINDS = ("kvm", "qemu")
KEPT_S = 3_600.0  # A kernel or a QEMU that is newer may offer more.
WAIT_S = 1.0


class Processors:
    """`asked` of a connection that was made anew is read anew."""

    def __init__(self, pool: Executor, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool, self._clock = pool, clock
        self._of: Any = None
        self._until = 0.0
        self._reading: Future[list[dict[str, Any]]] | None = None

    def offered(self, connection: Any, wait_s: float = WAIT_S) -> list[dict[str, Any]]:
        """Empty while it is not known."""
        if self._reading is None or self._of is not connection or self._clock() >= self._until:
            self._of, self._until = connection, self._clock() + KEPT_S
            self._reading = self._pool.submit(read, connection)
        with contextlib.suppress(TookLong):
            return self._reading.result(wait_s)
        return []


def read(connection: Any) -> list[dict[str, Any]]:
    """One for each type of VM that libvirt can run here."""
    found = []
    with contextlib.suppress(libvirt.libvirtError, CannotExpand):
        identity = identity_of(connection.getCapabilities())
        for kind in KINDS:
            with contextlib.suppress(libvirt.libvirtError):  # Without KVM it offers only one.
                domain = connection.getDomainCapabilities(None, None, None, kind)
                found.append(host_cpu(kind, domain, identity, _expander(connection)))
    return [msgspec.to_builtins(one) for one in found if one is not None]


def _expander(connection: Any) -> Callable[[str], str]:
    def expand(cpu: str) -> str:
        flags = libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES
        try:
            return str(connection.baselineCPU([cpu], flags))
        except libvirt.libvirtError as error:
            raise CannotExpand(str(error)) from None

    return expand
