"""The agent's sensors for its host's hardware, each of which may lack what it reads.

What one lacks (a tool, a driver, a right) is said once in the log and shown in the status; the rest
works.
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from holdfast.adapters.drivers.hardware_memory import HardwareMemory
from holdfast.adapters.sensors.board import BoardAsked
from holdfast.adapters.sensors.crash_records import CrashRecords
from holdfast.adapters.sensors.disk_health import DiskHealthAsked
from holdfast.adapters.sensors.hardware_errors import HardwareErrors
from holdfast.adapters.sensors.hardware_list import HardwareList
from holdfast.adapters.sensors.kernel_log import KernelLog, has_initial_pids
from holdfast.adapters.sensors.raids import Raids
from holdfast.facts.hardware import AlarmLeft, is_part
from holdfast.facts.instants import Instant
from holdfast.facts.settings import Settings
from holdfast.facts.settings_hardware import Hardware
from holdfast.policy.world import World
from holdfast.ports.sensor import Sensor

log = logging.getLogger(__name__)


class HardwareSight:
    """`sensors` are to be run by the agent; none where nothing is to be watched."""

    def __init__(
        self,
        settings: Settings,
        kernel_log: KernelLog,
        owns_machine: Callable[[], bool] = has_initial_pids,
    ) -> None:
        given = settings.hardware
        is_watched = owns_machine() if given.watch is None else given.watch
        memory = HardwareMemory(Path(settings.state_dir) / "hardware.json")
        if memory.trouble:
            log.warning("%s", memory.trouble)
        errors = HardwareErrors()
        told = (
            errors,
            DiskHealthAsked(given.period_s),
            Raids(period_s=given.period_s),
            BoardAsked(given),
            HardwareList(memory),
            CrashRecords(memory),
        )
        self._told = told if is_watched else ()
        self.sensors: tuple[Sensor, ...] = self._told
        self._why_not = ""
        if is_watched:
            kernel_log.on_line = errors.hear_line
        elif given.watch is None:
            self._why_not = "not watched: in a container it is not this agent's own"
        else:
            self._why_not = "not watched: the settings say so"
        if self._why_not:
            log.info("hardware is %s", self._why_not)

    def shown(self) -> dict[str, str]:
        """What each sensor reads, or why it does not."""
        told = {sensor.name: sensor.state for sensor in self._told}
        return told or {"hardware": self._why_not}


def of_detectors(hardware: Hardware) -> dict[str, dict[str, Any]]:
    """The settings of detectors that follow from those of the hardware."""
    limit = {"errors_per_hour": hardware.corrected_per_hour}
    return {"memory_corrected": limit, "cpu_suspect": limit}


def left_open(world: World, at: Instant) -> Iterator[AlarmLeft]:
    """Alarms of parts that an agent before this one raised: whoever judges them must know."""
    for alarm in world.alarms.values():
        if is_part(alarm.subject):
            yield AlarmLeft(at=at, condition=alarm.condition, subject=alarm.subject)
