"""The tail keeps what is newest, and what is about the hardware whatever floods in after it."""

import pytest

from holdfast.adapters.drivers.kernel_tail import LINE_CHARS, LINES_KEPT, KernelTail

INFO, WARN, ERROR = 6, 4, 3


@pytest.mark.parametrize(
    "text",
    [
        "mce: [Hardware Error]: CPU 2: Machine Check: 0 Bank 5: bea0000000000108",
        "EDAC MC0: 1 CE memory read error on CPU_SrcID#0_Ha#0_Chan#1_DIMM#0 (channel:1 slot:0)",
        "{1}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 0",
        "pcieport 0000:00:1c.0: AER: Corrected error received: 0000:03:00.0",
        "pcieport 0000:00:01.0: PCIe Bus Error: severity=Corrected, type=Physical Layer",
        "nvme nvme0: I/O 13 QID 2 timeout, aborting",
        "nvme nvme1: controller is down; will reset: CSTS=0x3, PCI_STATUS=0x10",
        "ata1.00: exception Emask 0x0 SAct 0x0 SErr 0x0 action 0x6 frozen",
        "I/O error, dev sda, sector 12345 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 0",
        "critical medium error, dev sdb, sector 4096 op 0x0:(READ)",
        "CPU3: Package temperature above threshold, cpu clock throttled (total events = 12)",
        "thermal thermal_zone0: acpitz: critical temperature reached, shutting down",
        "e1000e 0000:00:19.0 eno1: NIC Link is Down",
        "bond0: (slave eth1): link status definitely down, lost carrier",
        "NETDEV WATCHDOG: eth0 (ixgbe): transmit queue 3 timed out 5280 ms",
        "Memory failure: 0x1a2b: Killing qemu-kvm:4242 due to hardware memory corruption",
        "MCE: Killing python3:313 due to hardware memory corruption fault at 7f0e2a7f6000",
    ],
)
def test_lines_about_the_hardware_are_grave_and_kept_apart(text: str) -> None:
    tail = KernelTail()
    assert tail.take(INFO, 12_345_678, text)
    for number in range(2 * LINES_KEPT):
        tail.take(INFO, number, "nothing to see here")
    assert tail.hardware() == (f"[12.345678] {text}",)
    assert len(tail.lines()) == LINES_KEPT


@pytest.mark.parametrize(
    "text",
    [
        "nvme nvme0: 8/0/0 default/read/poll queues",
        "e1000e 0000:00:19.0 eno1: NIC Link is Up 1000 Mbps Full Duplex",
        "br0: port 2(vnet3) entered disabled state",
        "audit: type=1400 apparmor=DENIED operation=open",
    ],
)
def test_daily_lines_are_not(text: str) -> None:
    tail = KernelTail()
    assert not tail.take(WARN, 1, text)
    assert tail.hardware() == ()


def test_an_error_is_grave_whatever_it_says() -> None:
    tail = KernelTail()
    assert tail.take(ERROR, 1, "BUG: unable to handle page fault for address: 0")
    assert tail.hardware() == ()


def test_a_long_line_is_cut() -> None:
    tail = KernelTail()
    tail.take(INFO, 0, "x" * 5_000)
    assert len(tail.lines()[0]) <= LINE_CHARS + 20
