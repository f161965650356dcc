"""Each act on the hardware is believed when it shows, bounded, and says why it did not help."""

import asyncio
import os
import struct
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from holdfast.adapters.drivers.hardware_repairs import HWPOISON, RepairFailed, Repairs

PAGE, ADDRESS = 3, 3 * 4_096 + 16
DEVICE = "0000:02:00.0"
RAID = "md0 : active raid1 sdc[2]{spare} sdb[1](F) sda[0]\n      31744 blocks [2/1] [U_]\n{more}"


@pytest.fixture
def repairs(tmp_path: Path) -> Repairs:
    """A host in a folder."""
    sys, proc = tmp_path / "sys", tmp_path / "proc"
    for folder in ("devices/system/memory", "devices/system/cpu/cpu3", f"bus/pci/devices/{DEVICE}"):
        (sys / folder).mkdir(parents=True)
    (sys / "class/net/eth0").mkdir(parents=True)
    proc.mkdir()
    (proc / "kpageflags").write_bytes(bytes(64))
    (sys / "devices/system/memory/soft_offline_page").write_text("")
    (sys / "devices/system/cpu/cpu3/online").write_text("1\n")
    (sys / f"bus/pci/devices/{DEVICE}/reset").write_text("")
    (sys / f"bus/pci/devices/{DEVICE}/config").write_bytes(b"\x86\x80\x10\x20")
    (sys / "bus/pci/rescan").write_text("")
    (tmp_path / "mdstat").write_text(RAID.format(spare="", more=""))
    for name in ("mdadm", "ip"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/{name}.said\n')
        (tmp_path / name).chmod(0o755)
    return Repairs(
        sys=sys,
        proc=proc,
        dev=Path("/dev"),
        mdadm=str(tmp_path / "mdadm"),
        mdstat=tmp_path / "mdstat",
        ip=[str(tmp_path / "ip")],
        limit_s=1.0,
    )


def refused(act: Awaitable[str]) -> str:
    async def story() -> None:
        await act

    with pytest.raises(RepairFailed) as caught:
        asyncio.run(story())
    return str(caught.value)


def done(act: Awaitable[str]) -> str:
    async def story() -> str:
        return await act

    return asyncio.run(story())


def when(is_so: Callable[[], bool], then: Callable[[], object]) -> threading.Thread:
    """The kernel's part: it does something when it was told to."""

    def wait() -> None:
        deadline = time.monotonic() + 5
        while not is_so() and time.monotonic() < deadline:
            time.sleep(0.01)
        then()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_page_is_out_of_use_when_its_flag_says_so(repairs: Repairs) -> None:
    told = repairs.sys / "devices/system/memory/soft_offline_page"
    flags = repairs.proc / "kpageflags"
    poisoned = bytes(8 * PAGE) + struct.pack("=Q", HWPOISON) + bytes(32)
    kernel = when(lambda: told.read_text() == "0x3000", lambda: flags.write_bytes(poisoned))
    assert "page 0x3 is out of use" in done(repairs.soft_offline(ADDRESS))
    kernel.join()
    told.write_text("")
    assert "already" in done(repairs.soft_offline(ADDRESS))
    assert told.read_text() == ""


def test_a_page_that_the_kernel_keeps_is_not_believed(repairs: Repairs) -> None:
    assert refused(repairs.soft_offline(ADDRESS)) == "page 0x3 is still in use"
    (repairs.proc / "kpageflags").unlink()
    assert "cannot be read" in refused(repairs.soft_offline(ADDRESS))


def test_a_cpu_goes_offline_where_the_kernel_lets_it(repairs: Repairs) -> None:
    assert done(repairs.take_cpu_offline(3)) == "CPU 3 is offline"
    assert "does not let CPU 0" in refused(repairs.take_cpu_offline(0))


def test_a_kernel_that_refuses_is_quoted(repairs: Repairs) -> None:
    online = repairs.sys / "devices/system/cpu/cpu3/online"
    online.unlink()
    online.mkdir()
    assert "writing 0" in (said := refused(repairs.take_cpu_offline(3)))
    assert "failed" in said


def test_a_write_that_hangs_has_an_end(repairs: Repairs, tmp_path: Path) -> None:
    online = repairs.sys / "devices/system/cpu/cpu3/online"
    online.unlink()
    os.mkfifo(online)
    began = time.monotonic()
    assert "had not ended after 1 s" in refused(repairs.take_cpu_offline(3))
    assert time.monotonic() - began < 5


def test_a_raid_rebuilds_onto_the_spare(repairs: Repairs, tmp_path: Path) -> None:
    said = tmp_path / "mdadm.said"
    text = RAID.format(spare="", more="      [=>..]  recovery = 11.1% (3584/31744) finish=0.2min\n")
    kernel = when(
        lambda: said.exists() and "--add" in said.read_text(),
        lambda: repairs.mdstat.write_text(text),
    )
    assert done(repairs.replace_raid_member("md0", "sdb", "sdc")) == "md0 rebuilds onto sdc"
    kernel.join()
    assert said.read_text().splitlines() == [
        "/dev/md0 --remove /dev/sdb",
        "/dev/md0 --add /dev/sdc",
    ]


def test_a_raid_that_does_not_rebuild_is_not_believed(repairs: Repairs, tmp_path: Path) -> None:
    assert "does not rebuild onto sdb" in refused(repairs.replace_raid_member("md0", "sdb"))
    assert "--re-add /dev/sdb" in (tmp_path / "mdadm.said").read_text()
    assert "there is no RAID md9" in refused(repairs.replace_raid_member("md9", "sdb"))


@pytest.mark.parametrize("name", ["--stop", "../x", "a b", ""])
def test_a_name_that_is_no_device_is_refused(repairs: Repairs, name: str, tmp_path: Path) -> None:
    assert "does not name" in refused(repairs.replace_raid_member("md0", "sdb", name or "-"))
    assert "does not name" in refused(repairs.reset_pci(name))
    assert "does not name" in refused(repairs.link_up(name))
    assert not (tmp_path / "mdadm.said").exists()


def test_a_reset_device_has_to_answer(repairs: Repairs) -> None:
    folder = repairs.sys / "bus/pci/devices" / DEVICE
    assert "was reset and answers" in done(repairs.reset_pci(DEVICE))
    (folder / "config").write_bytes(b"\xff\xff\xff\xff")
    assert "does not answer" in refused(repairs.reset_pci(DEVICE))
    (folder / "reset").unlink()
    assert "no way to reset" in refused(repairs.reset_pci(DEVICE))


def test_a_removed_device_has_to_be_found_again(repairs: Repairs) -> None:
    folder = repairs.sys / "bus/pci/devices" / DEVICE
    away = folder.with_name("away")
    rescan = repairs.sys / "bus/pci/rescan"

    def is_removed() -> bool:
        return (folder / "remove").exists() and (folder / "remove").read_text() == "1"

    removed = when(is_removed, lambda: folder.rename(away))
    found = when(lambda: rescan.read_text() == "1", lambda: away.rename(folder))
    assert "found again" in done(repairs.rescan_pci(DEVICE))
    removed.join()
    found.join()
    assert "was not removed" in refused(repairs.rescan_pci(DEVICE))


def test_a_link_needs_a_carrier(repairs: Repairs, tmp_path: Path) -> None:
    carrier = repairs.sys / "class/net/eth0/carrier"
    carrier.write_text("1\n")
    assert "has a carrier" in done(repairs.link_up("eth0"))
    assert (tmp_path / "ip.said").read_text() == "link set dev eth0 up\n"
    carrier.write_text("0\n")
    assert "no carrier" in refused(repairs.link_up("eth0"))
