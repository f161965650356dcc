"""The laws of a site, checked as reports arrive, from what truly happened in the data centre.

Truth is what was done to machines, processes and networks; nothing here is taken from what the
program believes.
"""

from dataclasses import dataclass, field

from holdfast.facts.alarms import AlarmState
from holdfast.facts.instants import NS_PER_MS, NS_PER_S
from holdfast.policy import timing
from tests.simulation.data_centre import DataCentre
from tests.simulation.receivers import Arrived

REPORT_NS = timing.REPORT_LIMIT_MS * NS_PER_MS
OF_LOSS = ("host-lost", "host-frozen", "host-panicked")


class LawBroken(AssertionError):
    """Which law, by what, and when."""


@dataclass
class _Fault:
    """Something that must be reported: `conditions` any of which, for a host in a boot."""

    host: str
    boot: str
    at: int
    conditions: tuple[str, ...]
    is_reported: bool = False


@dataclass
class SiteLaws:
    site: DataCentre
    faults: list[_Fault] = field(default_factory=list)
    reported: int = 0

    def lost(self, host: str) -> None:
        """Its power was cut, or its kernel stopped: nobody hears it from now on."""
        machine = self.site.hosts[host].machine
        fault = _Fault(host, machine.boot, self.site.clock.now, OF_LOSS)
        self.faults.append(fault)
        self.site.clock.at(fault.at + REPORT_NS, lambda: self._must_be_reported(fault))

    def heard(self, arrived: Arrived) -> None:
        alarm = arrived.record.alarm
        if alarm.state is AlarmState.CLEARED:
            return
        for fault in self.faults:
            is_it = alarm.key.startswith(f"{fault.host}/{fault.boot}:")
            if is_it and alarm.condition in fault.conditions and not fault.is_reported:
                fault.is_reported = True
                self.reported += 1

    def look(self) -> None:
        """At rest: nothing failed where nobody handled it."""
        failures = self.site.failures()
        if failures:
            raise LawBroken(f"something failed and nobody handled it: {failures}")

    def _must_be_reported(self, fault: _Fault) -> None:
        if not fault.is_reported:
            raise LawBroken(
                f"every pushed fault is reported within one second: {fault.host} was lost at"
                f" {fault.at / NS_PER_S} s, and nobody was told"
            )
