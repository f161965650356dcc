"""What the kernel's trace events and log lines say about the hardware, as observations.

Sources: include/ras/ras_event.h, include/trace/events/mce.h, mm/memory-failure.c,
drivers/pci/pcie/aer.c and err.c, block/blk-core.c, drivers/nvme/host, drivers/ata/libata-eh.c.
"""

import re
from collections.abc import Callable

from holdfast.adapters.drivers import machine_checks
from holdfast.facts.hardware import (
    PAGE_BYTES,
    DiskIoFailed,
    MachineCheck,
    MemoryErrors,
    MemoryFailure,
    PageOwnerKilled,
    PcieError,
    PcieRecovered,
    Severity,
)
from holdfast.facts.instants import NS_PER_S, Instant
from holdfast.facts.observations import Observation, UnknownSeen

Read = Callable[[Instant, re.Match[str]], Observation]
# The buffer's clock is the monotonic one, so that its stamps are instants.
_EVENT = re.compile(
    r"^.*? \[\d+\] \S* *(?P<s>\d+)\.(?P<us>\d{6}): (?P<event>[a-z_]+): (?P<words>.*)$"
)
# Where, and how exactly that is known: the address is one of so many bytes (`grain`).
_EDAC_PLACE = re.compile(
    r"grain:(?P<grain>[1-9]\d*) .*?address:0x(?P<address>[0-9a-f]*[1-9a-f]\w*)"
)
STAMPS_BELIEVED_NS = 60 * NS_PER_S
_DEVICE = r"(?P<device>[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])"
_PCIE_SEVERITY = {
    "corrected": Severity.CORRECTED,
    "correctable": Severity.CORRECTED,
    "uncorrected, non-fatal": Severity.RECOVERABLE,
    "uncorrectable (non-fatal)": Severity.RECOVERABLE,
    "uncorrected (non-fatal)": Severity.RECOVERABLE,
    "fatal": Severity.FATAL,
    "uncorrectable (fatal)": Severity.FATAL,
    "uncorrected (fatal)": Severity.FATAL,
}
_EDAC_SEVERITY = {
    "Corrected": Severity.CORRECTED,
    "Uncorrected": Severity.RECOVERABLE,
    "Deferred": Severity.RECOVERABLE,
    "Fatal": Severity.FATAL,
}


def _machine_check(at: Instant, match: re.Match[str]) -> Observation:
    said = {key: value or "" for key, value in match.groupdict().items()}
    status = int(said["status"], 16)
    if not machine_checks.is_meant(status):
        what = f"a machine check that is not enabled: bank {said['bank']}, status {status:016x}"
        return UnknownSeen(at=at, what=what)
    part = machine_checks.part_of(
        status, int(said["vendor"] or 0), int(said.get("ipid") or "0", 16)
    )
    has_address = bool(status & machine_checks.ADDRESS_VALID) and bool(said["address"])
    return MachineCheck(
        at=at,
        part=part,
        severity=machine_checks.severity_of(status),
        cpu=int(said["cpu"]),
        bank=int(said["bank"]),
        status=f"{status:016x}",
        address=f"0x{int(said['address'], 16):x}" if has_address else "",
        socket=int(said["socket"] or 0),
    )


def _memory_errors(at: Instant, match: re.Match[str]) -> Observation:
    """`2 Corrected errors: memory read error on DIMM_A1 (mc:0 location:0:0 ...)`."""
    severity = _EDAC_SEVERITY.get(match["severity"])
    if severity is None:
        return UnknownSeen(at=at, what=f"memory errors of severity {match['severity']}")
    module = match["module"].strip()
    found = _EDAC_PLACE.search(match.string)
    is_page_known = found is not None and int(found["grain"]) <= PAGE_BYTES
    return MemoryErrors(
        at=at,
        severity=severity,
        count=int(match["count"]),
        module=module,
        address=f"0x{int(found['address'], 16):x}" if found and is_page_known else "",
    )


def _memory_failure(at: Instant, match: re.Match[str]) -> Observation:
    return MemoryFailure(
        at=at,
        page=f"0x{int(match['page'], 16):x}",
        used_for=match["used_for"].strip(),
        result=match["result"],
    )


def _pcie_error(at: Instant, match: re.Match[str]) -> Observation:
    severity = _PCIE_SEVERITY.get(match["severity"].strip().lower())
    if severity is None:
        return UnknownSeen(at=at, what=f"a PCIe error of severity {match['severity']}")
    what = match["what"].strip(" ,.") if "what" in match.groupdict() else ""
    return PcieError(at=at, device=match["device"], severity=severity, what=what)


def _owner_killed(at: Instant, match: re.Match[str]) -> Observation:
    """Early, by the page; or at the next use, by an address of the process alone."""
    found = match.groupdict().get("page")
    page = f"0x{int(found, 16):x}" if found else ""
    return PageOwnerKilled(at=at, page=page, pid=int(match["pid"]), task=match["task"])


def _recovered(at: Instant, match: re.Match[str]) -> Observation:
    return PcieRecovered(at=at, device=match["device"], worked=match["how"] == "successful")


def _disk_failed(at: Instant, match: re.Match[str]) -> Observation:
    return DiskIoFailed(at=at, disk=match["disk"], what=match["what"])


_TRACED: dict[str, tuple[re.Pattern[str], Read]] = {
    "mce_record": (
        re.compile(
            r"CPU: (?P<cpu>\d+), .*?MC(?P<bank>\d+): (?P<status>[0-9a-f]+)"
            r"(?:, IPID: (?P<ipid>[0-9a-f]+))?"
            r", ADDR(?:/MISC(?:/SYND)?)?: (?P<address>[0-9a-f]+)"
            r".*?PROCESSOR: (?P<vendor>\d+):"
            r"(?:.*?SOCKET: (?P<socket>\d+))?"
        ),
        _machine_check,
    ),
    "mc_event": (
        re.compile(r"(?P<count>\d+) (?P<severity>\w+) errors?: ?.*? on (?P<module>[^(]+)"),
        _memory_errors,
    ),
    "memory_failure_event": (
        re.compile(
            r"pfn (?P<page>[0-9a-fx]+): recovery action for (?P<used_for>.*): (?P<result>\w+)"
        ),
        _memory_failure,
    ),
    "aer_event": (
        re.compile(
            _DEVICE + r" PCIe Bus Error: severity=(?P<severity>Corrected|Fatal"
            r"|Uncorrected, non-fatal|[^,]+), (?P<what>.*?)(?:, TLP Header=.*)?$"
        ),
        _pcie_error,
    ),
}
TRACED = tuple(_TRACED)

# Of a log line: which trace event tells the same, or none; then its form.
_LOGGED: tuple[tuple[str, re.Pattern[str], Read], ...] = (
    (
        "mce_record",
        re.compile(
            r"\[Hardware Error\]: CPU (?P<cpu>\d+): Machine Check(?: Exception)?: [0-9a-f]+"
            r" Bank (?P<bank>\d+): (?P<status>[0-9a-f]{16})(?P<vendor>)(?P<socket>)(?P<address>)"
        ),
        _machine_check,
    ),
    (
        "memory_failure_event",
        re.compile(
            r"Memory failure: (?P<page>0x[0-9a-f]+): recovery action for (?P<used_for>.*)"
            r": (?P<result>\w+)"
        ),
        _memory_failure,
    ),
    (
        "",
        re.compile(
            r"Memory failure: (?P<page>0x[0-9a-f]+): (?:Killing|Sending SIGBUS to)"
            r" (?P<task>.*):(?P<pid>\d+) due to hardware memory corruption"
        ),
        _owner_killed,
    ),
    (
        "",
        re.compile(r"MCE: Killing (?P<task>.*):(?P<pid>\d+) due to hardware memory corruption"),
        _owner_killed,
    ),
    (
        "aer_event",
        re.compile(_DEVICE + r": (?:AER: )?PCIe Bus Error: severity=(?P<severity>.*?), type="),
        _pcie_error,
    ),
    (
        "",
        re.compile(_DEVICE + r": AER: [Dd]evice recovery (?P<how>successful|failed)"),
        _recovered,
    ),
    (
        "",
        re.compile(
            r"(?P<what>I/O error|critical (?:medium|target|nexus) error), dev (?P<disk>[\w!-]+),"
        ),
        _disk_failed,
    ),
    (
        "",
        re.compile(
            r"nvme (?P<disk>nvme\d+): (?P<what>controller is down|Removing after probe failure"
            r"|I/O (?:tag )?\d+.* timeout|Device not ready|Disabling device after reset failure)"
        ),
        _disk_failed,
    ),
    (
        "",
        re.compile(
            r"(?P<disk>ata\d+)(?:\.\d+)?: (?P<what>failed command|disable device|SATA link down)"
        ),
        _disk_failed,
    ),
)


def read_traced(line: str, now: Instant) -> Observation | None:
    """One line of trace_pipe; None where it is no event. What it cannot read it says so."""
    at = now
    found = _EVENT.match(line)
    if found is None:
        is_loss = line.startswith("CPU:")  # `CPU:1 [LOST 5 EVENTS]`: the counters tell that.
        return None if is_loss else UnknownSeen(at=at, what="a trace line of another form")
    event, words = found["event"], found["words"]
    stamp = int(found["s"]) * NS_PER_S + int(found["us"]) * 1_000
    if now - STAMPS_BELIEVED_NS <= stamp <= now:  # Else a kernel without that clock.
        at = Instant(stamp)
    if event not in _TRACED:
        return UnknownSeen(at=at, what=f"trace event {event}")
    pattern, read = _TRACED[event]
    match = pattern.search(words)
    if match is None:
        return UnknownSeen(at=at, what=f"trace event {event} of another form")
    return read(at, match)


def read_logged(line: str, at: Instant) -> tuple[Observation, str] | None:
    """One line of the kernel's log, and the trace event that tells the same (empty: none does)."""
    for event, pattern, read in _LOGGED:
        match = pattern.search(line)
        if match is not None:
            return read(at, match), event
    return None
