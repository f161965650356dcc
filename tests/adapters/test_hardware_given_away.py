"""A disk that went to a VM with its whole device is on the list of this host's parts still."""

import asyncio
from pathlib import Path

from holdfast.adapters.drivers.hardware_memory import HardwareMemory
from holdfast.adapters.sensors.hardware_list import HardwareList
from holdfast.facts.hardware import HardwareListed, Part, PartKind
from tests.adapters.test_hardware_sensors import watch

DISK = Part(kind=PartKind.DISK, id="NV1", name="nvme0", device="0000:01:00.0")


def test_what_was_given_to_a_vm_is_not_missing(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "hardware.json"
        before = HardwareList(HardwareMemory(path), 0.1, lambda: ((DISK,), 1_024))
        await watch(before, lambda seen: bool(seen) and path.exists())
        memory = HardwareMemory(path)
        given = HardwareList(memory, 0.1, lambda: ((), 1_024), lambda part: part == DISK)
        _, now, *_ = await watch(given, lambda seen: len(seen) >= 2)
        assert isinstance(now, HardwareListed)
        assert now.parts == (DISK,)

    asyncio.run(story())
