"""Records of real hardware faults: what kernel and tools said, and what is read out of it.

`python -m tests.recordings.hardware_records FILE` writes what this host's kernel and tools say into
FILE until it is ended; each line is a record. Those in tests/recordings/linux-6.1 come from a QEMU
machine with Debian 12's kernel, smartmontools and mdadm, into which QEMU's monitor put the faults
(`mce`, `pcie_aer_inject_error`, the NVMe device's critical warning, a disk of nbdkit's); the
board's are ipmitool's words about OpenIPMI's ipmi_sim. Instants are the machine's own, but for the
RAID and the board, whose words were kept one by one. `--rewrite` reads all of them anew.
"""

import asyncio
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from holdfast.adapters.drivers import smartctl
from holdfast.adapters.drivers.board_words import read_sdr
from holdfast.adapters.drivers.hardware_words import TRACED, read_logged, read_traced
from holdfast.adapters.drivers.mdstat import MDSTAT, read_mdstat
from holdfast.adapters.drivers.pstore import read_records
from holdfast.adapters.drivers.sysfs_parts import disk_names, list_parts, memory_mib
from holdfast.adapters.drivers.trace_instance import TraceInstance
from holdfast.adapters.sensors.kernel_log import KernelLog
from holdfast.facts.hardware import HardwareListed, KernelCrashed, Part
from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation

FOLDER = Path(__file__).parent / "linux-6.1"
LOOK_S = 5.0


class Record(Struct, frozen=True, kw_only=True):
    """`source` is trace, log, smartctl, mdstat, list, sdr or pstore; `about` a disk or record."""

    source: str
    at: Instant
    text: str
    about: tuple[str, ...] = ()


def read_records_of(path: Path) -> list[Record]:
    decoder = msgspec.json.Decoder(Record)
    return [decoder.decode(line) for line in path.read_bytes().splitlines() if line]


def observed(records: Iterable[Record], traced: Iterable[str] = TRACED) -> Iterator[Observation]:
    """What the sensors make of them; of the kernel's log what no event in `traced` tells."""
    for record in records:
        match record.source:
            case "trace" if traced:
                seen = read_traced(record.text, record.at)
                yield from [seen] if seen is not None else []
            case "log":
                found = read_logged(record.text, record.at)
                yield from [found[0]] if found is not None and found[1] not in traced else []
            case "smartctl":
                try:
                    name, id = record.about
                    yield smartctl.read_health(record.text, name, id, record.at)
                except smartctl.NotRead:
                    continue
            case "mdstat":
                yield from read_mdstat(record.text, record.at)
            case "sdr":
                yield from read_sdr(record.text, record.at)
            case "list":
                parts, size_mib = msgspec.json.decode(
                    record.text, type=tuple[tuple[Part, ...], int]
                )
                yield HardwareListed(at=record.at, parts=parts, memory_mib=size_mib)
            case "pstore":
                [name] = record.about
                yield KernelCrashed(
                    at=record.at, record=name, last_words=record.text, written_utc_ms=0
                )
            case _:
                pass


class _Recorder:
    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def note(self, source: str, text: str, *about: str) -> None:
        at = Instant(time.monotonic_ns())
        record = Record(source=source, at=at, text=text, about=about)
        self._file.write(msgspec.json.encode(record) + b"\n")

    async def run(self) -> None:
        trace = TraceInstance("holdfast-record", TRACED)
        log = KernelLog()
        log.on_line = lambda text: self.note("log", text)
        loop = asyncio.get_running_loop()
        loop.add_reader(trace.fd, self._follow, trace)
        for record in read_records():
            self.note("pstore", record.text, record.name)
        async with asyncio.TaskGroup() as group:
            group.create_task(log.run(lambda _: None))
            group.create_task(self._look())

    def _follow(self, trace: TraceInstance) -> None:
        for line in trace.lines():
            self.note("trace", line)

    async def _look(self) -> None:
        """A recorder may block: nobody waits for it."""
        while True:
            listed = msgspec.json.encode((list_parts(), memory_mib())).decode()
            self.note("list", listed)
            for name, id in disk_names().items():
                process = await asyncio.create_subprocess_exec(
                    smartctl.PROGRAMS[0],
                    *smartctl.options(f"/dev/{name}"),
                    stdout=asyncio.subprocess.PIPE,
                )
                said, _ = await process.communicate()
                self.note("smartctl", said.decode(), name, id)
            if MDSTAT.exists():
                self.note("mdstat", MDSTAT.read_text())
            await asyncio.sleep(LOOK_S)


if __name__ == "__main__":
    asyncio.run(_Recorder(Path(sys.argv[1])).run())
