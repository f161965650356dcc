"""Many light VMs: real QEMU processes with tiny memory, paused, so that they cost no processor."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import NAMESPACE_DNS, uuid5

from holdfast.lab.commands import LabError
from holdfast.lab.hosts import Host

PREFIX = "drill-light"
LIGHT_MIB = 4  # More costs as little while they are paused: they never touch it.
START_LIMIT_S = 300.0
XML = """<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{memory_mib}</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <on_crash>destroy</on_crash>
  <devices>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
"""


@dataclass(frozen=True)
class StandIn:
    """One of them."""

    host: Host
    name: str
    uuid: str
    memory_mib: int = LIGHT_MIB

    def read_pid(self) -> int:
        """The pid of its QEMU as its host sees it."""
        return int(self.host.path(f"/run/libvirt/qemu/{self.name}.pid").read_text())


@contextmanager
def stand_ins(
    host: Host, count: int, prefix: str = PREFIX, memory_mib: int = LIGHT_MIB
) -> Iterator[list[StandIn]]:
    """So many VMs, started and paused; removed when the block ends, whatever they are then."""
    names = [f"{prefix}-{number}" for number in range(1, count + 1)]
    made = [StandIn(host, name, _uuid(host.lab, name), memory_mib) for name in names]
    try:
        _run_batch(host, [f"define {_write_xml(one)}" for one in made])
        _in_two(host, [f"start {one.name} --paused" for one in made])
        yield made
    finally:
        if host.is_powered_on:
            _in_two(host, [f"destroy {one.name}" for one in made], check=False)
            _run_batch(host, [f"undefine {one.name}" for one in made], check=False)


def _uuid(lab: str, name: str) -> str:
    return str(uuid5(NAMESPACE_DNS, f"{name}.{lab}.holdfast-lab"))


def _write_xml(one: StandIn) -> str:
    place = f"/run/holdfast-{one.name}.xml"
    text = XML.format(name=one.name, uuid=one.uuid, memory_mib=one.memory_mib)
    one.host.path(place).write_text(text)
    return place


def _in_two(host: Host, lines: list[str], *, check: bool = True) -> None:
    """Two at a time: libvirt starts one VM on one core."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda half: _run_batch(host, half, check=check), (lines[::2], lines[1::2])))


def _run_batch(host: Host, lines: list[str], *, check: bool = True) -> None:
    """One virsh for many commands; it goes on after a failure, so what it says is looked at."""
    done = host.run(
        ["virsh", "--quiet", "--connect", "qemu:///system"],
        timeout_s=START_LIMIT_S,
        check=False,
        stdin_text="\n".join([*lines, "quit", ""]),
    )
    wrong = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    if check and wrong:
        raise LabError(f"{host.name}: light VMs: {wrong[0]}")
