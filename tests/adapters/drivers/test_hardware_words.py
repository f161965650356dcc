"""What is read out of the words of kernel and tools is what was recorded; the unknown is loud."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from holdfast.adapters.drivers.hardware_words import read_logged, read_traced
from holdfast.facts.hardware import MachineCheck, MemoryErrors, MemoryFailure, PcieError, Severity
from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation, UnknownSeen
from tests.recordings.hardware_records import FOLDER, observed, read_records_of

RECORDS = sorted(FOLDER.glob("*.records"))
STAMP = "     kworker/0:1-17      [000] .....     1.500000: "
NOW = Instant(2_000_000_000)


def faults(seen: list[Observation]) -> Counter[str]:
    """Each fault that trace and log both tell of, without what only one of them knows."""
    told = Counter[str]()
    for one in seen:
        match one:
            case MachineCheck():
                told[f"machine check {one.cpu} {one.bank} {one.status}"] += 1
            case MemoryFailure():
                told[f"page {one.page} {one.result}"] += 1
            case PcieError():
                told[f"{one.device} {one.severity}"] += 1
            case _:
                pass
    return told


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_is_read_as_it_was(path: Path, rewrite: bool) -> None:
    seen = list(observed(read_records_of(path)))
    said = "".join(f"{msgspec.json.encode(one).decode()}\n" for one in seen)
    recording = path.with_suffix(".jsonl")
    if rewrite:
        recording.write_text(said)
    assert said == recording.read_text()


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_trace_and_log_tell_the_same_faults(path: Path) -> None:
    """But for machine checks that the kernel dealt with, and errors that come often."""
    records = read_records_of(path)
    by_trace, by_log = (
        faults(list(observed(records))),
        faults(list(observed(records, traced=()))),
    )
    assert set(by_log) <= set(by_trace)
    is_quiet = ("machine check",)
    told = {one for one in by_trace if not one.startswith(is_quiet) and "corrected" not in one}
    assert told <= set(by_log)


def test_there_are_records() -> None:
    assert len(RECORDS) >= 10


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            (
                "mc_event: 3 Corrected errors: memory read error on CPU_SrcID#0_Ha#0_Chan#1_DIMM#0"
                " (mc:0 location:0:1:0 address:0x0000 grain:5 syndrome:0x00000000 x)"
            ),
            MemoryErrors(
                at=Instant(1_500_000_000),
                severity=Severity.CORRECTED,
                count=3,
                module="CPU_SrcID#0_Ha#0_Chan#1_DIMM#0",
            ),
        ),
        (
            "mc_event: 1 Fatal error: on DIMM_B2 (mc:1 location:0:-1:-1 grain:0)",
            MemoryErrors(
                at=Instant(1_500_000_000), severity=Severity.FATAL, count=1, module="DIMM_B2"
            ),
        ),
        (
            (
                "mce_record: CPU: 7, MCGc/s: 7000c16/0, MC20: 9c2041000000011b"
                ", IPID: 0000009600350f00"
                ", ADDR: 000000010a4b1c80, MISC: d01a0001, SYND: 0, RIP: 00:<0>, TSC: 0"
                ", PPIN: 0, vendor: 2, CPUID: a00f11"
                ", PROCESSOR: 2:a00f11, TIME: 1, SOCKET: 1, APIC: 7"
            ),
            MachineCheck(
                at=Instant(1_500_000_000),
                part="memory",
                severity=Severity.CORRECTED,
                cpu=7,
                bank=20,
                status="9c2041000000011b",
                address="0x10a4b1c80",
                socket=1,
            ),
        ),
    ],
)
def test_other_forms_of_the_kernel_are_read(line: str, wanted: Observation) -> None:
    """Of kernels and machines of which there is no record; forms from include/ras/ras_event.h."""
    assert read_traced(STAMP + line, NOW) == wanted


@pytest.mark.parametrize(
    "line",
    [
        STAMP + "new_event: of a later kernel",
        STAMP + "mce_record: of another form",
        STAMP + "mc_event: 1 Odd error: x on DIMM (mc:0)",
        "what is this",
    ],
)
def test_what_cannot_be_read_is_loud(line: str) -> None:
    assert isinstance(read_traced(line, NOW), UnknownSeen)


def test_a_stamp_of_another_clock_is_not_believed() -> None:
    line = STAMP.replace("1.500000", "99999.000000") + "memory_failure_event: pfn 0x1: "
    seen = read_traced(line + "recovery action for free buddy page: Recovered", NOW)
    assert isinstance(seen, MemoryFailure)
    assert seen.at == NOW


@pytest.mark.parametrize(
    "line",
    [
        "usb 1-1: new high-speed USB device",
        "EXT4-fs (sda1): mounted filesystem",
        "mce: CPU supports 10 MCE banks",
        "mce: [Hardware Error]: Machine check events logged",
        "pcieport 0000:00:05.0: AER: enabled with IRQ 25",
    ],
)
def test_an_ordinary_line_says_nothing(line: str) -> None:
    assert read_logged(line, NOW) is None
