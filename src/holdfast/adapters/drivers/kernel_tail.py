"""The newest lines of the kernel's log, and apart from them those about the hardware.

A flood of other lines must not drown a machine check.
"""

import re
from collections import deque

LINES_KEPT = 200
HARDWARE_KEPT = 100
LINE_CHARS = 300
GRAVE_LEVEL = 3  # KERN_ERR and worse. Source: include/linux/kern_levels.h.

# Words of drivers of the kernel: machine checks and throttling are said by arch/x86/kernel/cpu/mce,
# memory by drivers/edac and mm/memory-failure.c, firmware's by drivers/acpi/apei, then drivers/pci,
# nvme, ata, block, and those of network cards.
_HARDWARE = re.compile(
    r"\[Hardware Error\]|\bmce: |Machine check|\bEDAC \w+|\bGHES: |Memory failure: |MCE: Killing"
    r"|\bAER: |pcieport .*error|PCIe Bus Error|DPC: "
    r"|\bnvme\d*.*(?:timeout|abort|reset|error|fail|down|dead|remov)"
    r"|temperature.*(?:above|critical|throttl)|thermal.*(?:critical|shut)"
    r"|\bata\d+.*(?:exception|error|fail|hard resetting|link is slow|SATA link down)"
    r"|I/O error, dev |critical (?:medium|target) error|rejecting I/O to "
    r"|[Ll]ink (?:is )?[Dd]own|lost carrier|NETDEV WATCHDOG|transmit queue \d+ timed out"
)


class KernelTail:
    """Lines as dmesg shows them: `[12.345678] text`."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._hardware: deque[str] = deque(maxlen=HARDWARE_KEPT)
        self.taken = 0

    def take(self, level: int, stamp_us: int, text: str) -> bool:
        """Whether it is grave: an error, or about the hardware."""
        line = f"[{stamp_us // 1_000_000}.{stamp_us % 1_000_000:06d}] {text[:LINE_CHARS]}"
        self._lines.append(line)
        self.taken += 1
        is_hardware = _HARDWARE.search(text) is not None
        if is_hardware:
            self._hardware.append(line)
        return is_hardware or level <= GRAVE_LEVEL

    def lines(self) -> tuple[str, ...]:
        return tuple(self._lines)

    def hardware(self) -> tuple[str, ...]:
        return tuple(self._hardware)
