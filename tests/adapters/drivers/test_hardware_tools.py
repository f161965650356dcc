"""What tools and files say of disks, RAIDs, boards and parts: known forms, and damaged ones."""

import random
from pathlib import Path

import msgspec
import pytest

from holdfast.adapters.drivers import machine_checks
from holdfast.adapters.drivers.board_words import read_power, read_sdr, read_thermal
from holdfast.adapters.drivers.mdstat import read_mdstat
from holdfast.adapters.drivers.smartctl import NotRead, options, read_health
from holdfast.adapters.drivers.sysfs_parts import (
    disk_names,
    is_given_away,
    list_parts,
    memory_mib,
)
from holdfast.facts.hardware import PartKind, Reading, ReadingState, Severity
from holdfast.facts.instants import Instant
from tests.recordings.hardware_records import FOLDER, read_records_of

NOW = Instant(1)
NVME = read_records_of(FOLDER / "nvme_warns.records")[0].text


@pytest.mark.parametrize(
    ("status", "vendor", "ipid", "part", "severity"),
    [
        (0x9C00004000000090, 0, 0, "memory", Severity.CORRECTED),
        (0xBD000000000000C0, 0, 0, "memory", Severity.RECOVERABLE),  # Found by the scrubber.
        (0xBD80000000000134, 0, 0, "memory", Severity.RECOVERABLE),  # A load of poisoned data.
        (0xBF00000000000134, 0, 0, "memory", Severity.FATAL),
        (0x9C00004000000135, 0, 0, "processor", Severity.CORRECTED),
        (0xB200000000000014, 0, 0, "processor", Severity.FATAL),  # TLB.
        (0xB200000000000800, 0, 0, "bus", Severity.FATAL),
        (0xB200000000000402, 0, 0, "processor", Severity.FATAL),  # Internal timer.
        (0x9800004000003000, 0, 0, "", Severity.CORRECTED),
        (0x9C2041000000011B, 2, 0x9600350F00, "memory", Severity.CORRECTED),  # AMD's UMC.
        (0x9C2041000000011B, 2, 0xB000000000, "processor", Severity.CORRECTED),
        (0x9C00004000000090, 10, 0, "memory", Severity.CORRECTED),
    ],
)
def test_whose_error_it_was(
    status: int, vendor: int, ipid: int, part: str, severity: Severity
) -> None:
    assert machine_checks.part_of(status, vendor, ipid) == part
    assert machine_checks.severity_of(status) is severity
    assert machine_checks.is_meant(status)


def test_a_leftover_of_another_processor_is_not_meant() -> None:
    """Seen for real: beside a broadcast machine check, of a bank that reports nothing."""
    assert not machine_checks.is_meant(0xA000000000000000)


def test_every_status_has_an_answer() -> None:
    chance = random.Random(7)
    for _ in range(2_000):
        status = chance.getrandbits(64)
        known = ("memory", "processor", "bus", "")
        assert machine_checks.part_of(status, chance.randrange(12)) in known


def test_what_smartctl_says_of_a_failing_sata_disk() -> None:
    tree = {
        "model_name": "A",
        "serial_number": "S1",
        "smart_status": {"passed": False},
        "temperature": {"current": 41},
        "ata_smart_attributes": {
            "table": [
                {"id": 5, "raw": {"value": 3}},
                {"id": 197, "raw": {"value": (7 << 32) + 12}},
            ]
        },
    }
    seen = read_health(msgspec.json.encode(tree).decode(), "sda", "S1", NOW)
    assert (seen.passed, seen.pending_sectors, seen.temperature_c) == (False, 12, 41)
    assert not seen.is_nvme


def test_a_warning_that_nobody_knows_is_loud() -> None:
    known = '"critical_warning":4'
    assert known in NVME
    seen = read_health(NVME.replace(known, '"critical_warning":65'), "nvme0", "NV001", NOW)
    spare, unknown = seen.warnings
    assert spare == "few spare blocks are left"
    assert "does not know (0x40)" in unknown


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no JSON"),
        ("smartctl 6.6", "no JSON"),
        ("[]", "no JSON"),
        ("{}", "no SMART health"),
        ('{"smart_status": {"passed": "yes"}}', "no SMART health"),
        ('{"smartctl": {"messages": [{"string": "Permission denied"}]}}', "Permission denied"),
    ],
)
def test_what_smartctl_cannot_say_is_a_reason(text: str, why: str) -> None:
    with pytest.raises(NotRead, match=why):
        read_health(text, "sda", "S1", NOW)


def test_a_sleeping_disk_is_not_woken() -> None:
    assert "-n standby" in " ".join(options("/dev/sda"))


@pytest.mark.parametrize("cut", range(0, len(NVME), 97))
def test_half_an_answer_harms_nothing(cut: int) -> None:
    with pytest.raises(NotRead):
        read_health(NVME[:cut], "nvme0", "NV001", NOW)


MDSTAT = """Personalities : [raid1] [raid6] [raid5] [raid4] [raid0]
md3 : inactive sdx[0](S)
      1000 blocks super 1.2

md2 : active raid0 sdh[1] sdg[0]
      4000 blocks super 1.2 512k chunks

md1 : active raid5 sdf[4](S) sde[3](F) sdd[1] sdc[0]
      4000 blocks super 1.2 level 5, 512k chunk, algorithm 2 [3/2] [UU_]
      \tresync=DELAYED

md0 : active (auto-read-only) raid1 nvme1n1p2[1] nvme0n1p2[0]
      4000 blocks super 1.2 [2/2] [UU]
      [=>...................]  check =  6.3% (2176/31744) finish=0.4min speed=1088K/sec
      bitmap: 0/1 pages [0KB], 65536KB chunk

unused devices: <none>
"""


def test_raids_of_every_kind() -> None:
    """Form from drivers/md/md.c; one without members to spare is none of ours."""
    md1, md0 = read_mdstat(MDSTAT, NOW)
    assert (md1.array, md1.level, md1.members, md1.missing) == ("md1", "raid5", 3, 1)
    assert (md1.failed, md1.spares, md1.action) == (("sde",), ("sdf",), "resync")
    assert (md0.array, md0.missing, md0.action, md0.rebuilt_percent) == ("md0", 0, "check", 6.3)


def reading(line: str) -> list[Reading]:
    return read_sdr(line + "\n", NOW)


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("Inlet,41,degrees C,nc", ReadingState.WARNING),
        ("Inlet,212,degrees F,ucr", ReadingState.CRITICAL),
        ("CPU1 Temp,255,degrees C,ucr", ReadingState.UNKNOWN),  # It lies.
        ("CPU1 Temp,-128,degrees C,lnr", ReadingState.UNKNOWN),
        ("CPU1 Temp,,degrees C,ns", ReadingState.UNKNOWN),
        ("FAN 2,0,RPM,lcr", ReadingState.CRITICAL),
        ("FAN 2,no reading,RPM,ns", ReadingState.UNKNOWN),
        ("PSU2 Status,64h,ok,10.2,Presence detected, Failure detected", ReadingState.CRITICAL),
        ("PSU2 Status,64h,ok,10.2,Presence detected", ReadingState.OK),
        ("PSU2 Status,64h,ns,10.2,No Reading", ReadingState.UNKNOWN),
        ("PSU2 Status,64h,ok,10.2,", ReadingState.OK),
    ],
)
def test_what_a_board_says(line: str, state: ReadingState) -> None:
    [seen] = reading(line)
    assert seen.state is state


@pytest.mark.parametrize(
    "line",
    ["", "Get SDR failed", "Watchdog,80h,ok,46.1,", "12V,12.1,Volts,ok", 'a"b', "Power,3,Watts,ok"],
)
def test_what_is_no_such_sensor_is_passed_over(line: str) -> None:
    assert reading(line) == []


def test_what_redfish_says() -> None:
    """Forms of DMTF's schemas Thermal 1.7 and Power 1.7."""
    thermal = {
        "Temperatures": [
            {"Name": "CPU 1", "ReadingCelsius": 45, "Status": {"State": "Enabled", "Health": "OK"}},
            {"Name": "Inlet", "ReadingCelsius": 48, "UpperThresholdCritical": 45},
            {"Name": "GPU", "ReadingCelsius": None, "Status": {"State": "Absent"}},
            {"Name": "Liar", "ReadingCelsius": 3_000, "Status": {"Health": "Critical"}},
            "no object",
        ],
        "Fans": [{"Name": "Fan 3", "Reading": 0, "Status": {"Health": "Critical"}}],
    }
    power = {"PowerSupplies": [{"Name": "PSU 2", "Status": {"Health": "Warning"}}]}
    states = {one.name: one.state for one in read_thermal(thermal, NOW)}
    assert states == {
        "CPU 1": ReadingState.OK,
        "Inlet": ReadingState.CRITICAL,
        "GPU": ReadingState.UNKNOWN,
        "Liar": ReadingState.UNKNOWN,
        "Fan 3": ReadingState.CRITICAL,
    }
    [supply] = read_power(power, NOW)
    assert (supply.kind, supply.state) == (PartKind.POWER, ReadingState.WARNING)


@pytest.mark.parametrize("tree", [None, [], "x", {"Fans": None}, {"Temperatures": [1, {}]}])
def test_what_redfish_should_not_say_harms_nothing(tree: object) -> None:
    assert all(one.state is ReadingState.UNKNOWN for one in read_thermal(tree, NOW))
    assert list(read_power(tree, NOW)) == []


@pytest.fixture
def sys(tmp_path: Path) -> Path:
    """A host with a disk of each kind."""
    put(tmp_path, "devices/system/cpu/present", "0-2,5")
    put(tmp_path, "bus/pci/devices/0000:01:00.0/vendor", "0x8086")
    put(tmp_path, "bus/pci/devices/0000:01:00.0/device", "0x10d3")
    put(tmp_path, "bus/pci/devices/0000:01:10.0/physfn/x", "")  # A virtual function.
    put(tmp_path, "block/nvme0n1/device/serial", "NV1  ")
    put(tmp_path, "class/nvme/nvme0/serial", "NV1  ")
    put(tmp_path, "class/nvme/nvme0/transport", "pcie")
    put(tmp_path, "class/nvme/nvme1/serial", "FAR")
    put(tmp_path, "class/nvme/nvme1/transport", "tcp")
    (tmp_path / "block/sda/device").mkdir(parents=True)
    (tmp_path / "block/sda/device/vpd_pg80").write_bytes(b"\0\x80\0\x06  WD-1\0")
    put(tmp_path, "block/sdb/device/wwid", "naa.5000")
    put(tmp_path, "block/sdc/device/x", "")
    put(tmp_path, "block/sdc/removable", "1")
    put(tmp_path, "block/loop0/size", "0")
    far = tmp_path / "devices/platform/host3/session1/target/block/sdd"
    put(far, "device/wwid", "iqn")
    (tmp_path / "block/sdd").symlink_to(far)
    put(tmp_path, "devices/rbd/0/block/rbd0/device/x", "")
    (tmp_path / "block/rbd0").symlink_to(tmp_path / "devices/rbd/0/block/rbd0")
    return tmp_path


def test_a_disk_that_went_to_a_vm_with_its_device_is_known_by_it(sys: Path) -> None:
    real = sys / "devices/pci0000:00/0000:00:1d.0/0000:01:00.0/nvme/nvme7"
    put(real, "serial", "NV7")
    put(real, "transport", "pcie")
    (sys / "class/nvme/nvme7").symlink_to(real)
    [disk] = [part for part in list_parts(sys) if part.id == "NV7"]
    assert disk.device == "0000:01:00.0"
    assert not is_given_away(disk, sys)
    driver = sys / "bus/pci/devices/0000:01:00.0/driver"
    driver.symlink_to("../../../../bus/pci/drivers/nvme")
    assert not is_given_away(disk, sys)
    driver.unlink()
    driver.symlink_to("../../../../bus/pci/drivers/vfio-pci")
    assert is_given_away(disk, sys)


def put(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_parts_are_named_by_what_stays_with_them(sys: Path) -> None:
    assert {part.key for part in list_parts(sys)} == {
        *(f"cpu:{number}" for number in (0, 1, 2, 5)),
        "pci:0000:01:00.0/8086:10d3",
        *("disk:NV1", "disk:WD-1", "disk:naa.5000"),
    }
    assert disk_names(sys) == {"nvme0": "NV1", "sda": "WD-1", "sdb": "naa.5000"}


def test_a_host_without_such_files_has_no_parts(tmp_path: Path) -> None:
    assert list_parts(tmp_path) == ()
    assert memory_mib(tmp_path / "meminfo") == 0
    (tmp_path / "meminfo").write_text("MemTotal:       16384000 kB\nMemFree: 1 kB\n")
    assert memory_mib(tmp_path / "meminfo") == 16_000
