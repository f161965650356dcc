"""What a processor means by the status of a machine check: whose error it is, and how bad.

Sources: Intel SDM volume 3B, chapter 16; AMD APM volume 2, chapter 9, and its scalable MCA, where
IPID names the bank's part. A code that neither knows is said to be nobody's: unknown, never hidden.
"""

from holdfast.facts.hardware import Severity

UNCORRECTED, ENABLED, CONTEXT_CORRUPT = 1 << 61, 1 << 60, 1 << 57
ADDRESS_VALID = 1 << 58
MEMORY, PROCESSOR, BUS, UNKNOWN = "memory", "processor", "bus", ""
AMD, HYGON = 2, 9  # X86_VENDOR_*. Source: arch/x86/include/asm/processor.h.
_UMC = 0x96  # The hardware id of AMD's memory controllers in IPID.
_FILTERED = 1 << 12  # Intel: this one code stands for several; it says nothing of whose it is.


def severity_of(status: int) -> Severity:
    if not status & UNCORRECTED:
        return Severity.CORRECTED
    return Severity.FATAL if status & CONTEXT_CORRUPT else Severity.RECOVERABLE


def is_meant(status: int) -> bool:
    """An uncorrected error whose reporting is not enabled is a leftover: the kernel, too, grades it
    as none. Source: arch/x86/kernel/cpu/mce/severity.c."""
    return not status & UNCORRECTED or bool(status & ENABLED)


def part_of(status: int, vendor: int, ipid: int = 0) -> str:
    """The compound codes of both vendors share their forms, but for those of memory."""
    code = status & 0xFFFF & ~_FILTERED
    if vendor in (AMD, HYGON):
        if (ipid >> 32) & 0xFFF == _UMC:
            return MEMORY
        return _shared_form(code)
    if code & 0xFF80 == 0x0080 or code & 0xFF80 == 0x0280:  # 1MMM CCCC, and of memory as a cache.
        return MEMORY
    if _is_data_or_code_load(code):
        return MEMORY  # A poisoned line that was read: what is broken is where it came from.
    return _shared_form(code)


def _is_data_or_code_load(code: int) -> bool:
    return code in (0x0134, 0x0150)


def _shared_form(code: int) -> str:
    if code & 0xFFF0 == 0x0010 or code & 0xFF00 == 0x0100 or code & 0xFFFC == 0x000C:
        return PROCESSOR  # TLB, or a cache.
    if code & 0xF800 == 0x0800:
        return BUS
    if 0 < code <= 0x0007 or code & 0xFC00 == 0x0400:
        return PROCESSOR  # Microcode, internal parity, internal timer, ...
    return UNKNOWN
