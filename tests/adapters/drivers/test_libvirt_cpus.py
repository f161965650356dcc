"""What CPUs a host offers is asked of libvirt once, and nobody waits long for it.

covers: H15
"""

import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import libvirt
import pytest

from holdfast.adapters.drivers.libvirt_cpus import KEPT_S, Processors, read

SAID = Path(__file__).parent / "cpus_of_libvirt_9"


class Connection:
    """Answers what was recorded; without KVM if told so, and only once it may."""

    def __init__(self, *, has_kvm: bool = True) -> None:
        self.has_kvm = has_kvm
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def getCapabilities(self) -> str:  # noqa: N802
        self.asked += 1
        assert self.may_answer.wait(30)
        return (SAID / "capabilities.xml").read_text()

    def getDomainCapabilities(self, *words: str | None) -> str:  # noqa: N802
        if words[-1] == "kvm" and not self.has_kvm:
            raise libvirt.libvirtError("the accel 'kvm' is not supported")
        return (SAID / f"{words[-1]}.xml").read_text()

    def baselineCPU(self, cpus: list[str], flags: int) -> str:  # noqa: ARG002, N802
        return "<cpu><feature policy='require' name='sse2'/></cpu>"


@pytest.fixture
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as found:
        yield found


def test_it_is_asked_once_an_hour_and_of_a_new_connection(pool: Executor) -> None:
    at = [0.0]
    processors, one = Processors(pool, lambda: at[0]), Connection()
    found = processors.offered(one, 30)
    assert [cpu["kind"] for cpu in found] == ["kvm", "qemu"]
    assert processors.offered(one, 30) == found
    assert one.asked == 1
    at[0] = KEPT_S + 1
    processors.offered(one, 30)
    assert one.asked == 2
    other = Connection(has_kvm=False)
    assert [cpu["kind"] for cpu in processors.offered(other, 30)] == ["qemu"]


def test_nobody_waits_for_a_libvirt_that_takes_its_time(pool: Executor) -> None:
    processors, slow = Processors(pool), Connection()
    slow.may_answer.clear()
    assert processors.offered(slow, 0) == []
    assert processors.offered(slow, 0) == []
    slow.may_answer.set()
    assert processors.offered(slow, 30)
    assert slow.asked == 1


def test_a_libvirt_that_knows_no_cpu_offers_none_known() -> None:
    assert read(libvirt.open("test:///default")) == []
