"""The rules that damp hardware's alarms: without one of them, a case says something else."""

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from holdfast.detectors.hardware_missing import HardwareIsMissing
from holdfast.detectors.memory_poisoned import MemoryIsPoisoned
from holdfast.detectors.pcie_error import PcieErrs
from holdfast.facts.hardware import AlarmLeft, MemoryFailure, PcieRecovered
from holdfast.facts.observations import Observation
from holdfast.ports.detector import Detector
from holdfast.ports.plugins import load
from holdfast.ports.standing import Standing
from tests.detectors.cases import Case, parse_case, play, write

HERE = Path(__file__).parent
NEVER_MS = 1e12


def case_of(name: str) -> Case:
    return parse_case((HERE / f"{name}.txt").read_text())


def said_by(detector: Detector, case: Case) -> str:
    said = (write(at, verdict, case.zero) for at, verdict in play(detector, case.seen))
    return "".join(f"{line}\n" for line in said)


@pytest.mark.parametrize(
    ("case", "mutant"),
    [
        ("overheated/one_wild_reading", {"readings": 1}),
        ("overheated/it_flaps", {"quiet_ms": 0}),
        ("fan_failed/recorded_board_fails_and_is_mended", {"readings": 9}),
        ("power_supply_failed/recorded_board_fails_and_is_mended", {"quiet_ms": NEVER_MS}),
        ("nvme_warning/it_flaps", {"quiet_ms": 0}),
        ("nvme_warning/worn_out", {"worn_out_percent": 101}),
        ("memory_corrected/a_few_errors_are_no_news", {"errors_per_hour": 9}),
        ("memory_corrected/recorded_memory_corrected", {"errors_per_hour": 13}),
        ("memory_poisoned/many_pages", {"pages_doomed": 5}),
        ("memory_fatal/recorded_memory_poisoned", {"page_wait_ms": 0}),
        ("memory_fatal/nobody_says_what_became_of_the_page", {"page_wait_ms": NEVER_MS}),
        ("cpu_suspect/recorded_machine_check_of_an_unknown_kind", {"errors_per_hour": 1}),
        ("pcie_error/recorded_pcie_corrected", {"corrected_per_hour": 1}),
        ("disk_error/recorded_raid_degraded_and_rebuilt", {"quiet_ms": 0}),
        ("hardware_missing/a_little_less_memory", {"smallest_loss_mib": 1}),
        ("host_kernel_crashed/recorded_kernel_crashed", {"quiet_ms": 0}),
    ],
)
def test_a_limit_that_is_another_says_something_else(case: str, mutant: dict[str, Any]) -> None:
    was = case_of(case)
    make = load("holdfast.detectors", case.partition("/")[0])
    assert said_by(make(**was.settings), was) == was.said
    assert said_by(make(**(was.settings | mutant)), was) != was.said


class ForgetsRecoveries(PcieErrs):
    """Takes a recovery for that of errors that were told before it, only."""

    def observe(self, seen: Observation) -> Any:
        said = super().observe(seen)
        if isinstance(seen, PcieRecovered):
            self._recoveries.clear()
        return said


class TakesAnyPageForGood(MemoryIsPoisoned):
    def observe(self, seen: Observation) -> Any:
        if isinstance(seen, MemoryFailure):
            seen = structs.replace(seen, result="Recovered")
        return super().observe(seen)


class ForgetsWhatWasThere(HardwareIsMissing):
    """Compares with nothing that an agent saw before."""

    def observe(self, seen: Observation) -> Any:
        return () if getattr(seen, "is_of_before", False) else super().observe(seen)


class HearsOfNoAlarmLeft(HardwareIsMissing):
    def observe(self, seen: Observation) -> Any:
        return () if isinstance(seen, AlarmLeft) else super().observe(seen)


class TellsAgainAndAgain(Standing):
    """What is known is said once more."""

    def wrong(self, *args: Any) -> Any:
        self._said.clear()
        return super().wrong(*args)


class SaysWhatIsKnown(PcieErrs):
    def __init__(self) -> None:
        super().__init__(corrected_per_hour=3)
        self._standing = TellsAgainAndAgain("pcie_error", "pcie-error", 3_600_000)


@pytest.mark.parametrize(
    ("case", "mutant"),
    [
        ("pcie_error/too_many_corrected", SaysWhatIsKnown),
        ("memory_poisoned/the_kernels_own_page_is_not_this", TakesAnyPageForGood),
        ("hardware_missing/lost_while_it_booted", ForgetsWhatWasThere),
        ("hardware_missing/after_an_agent_restart", HearsOfNoAlarmLeft),
    ],
)
def test_a_mutant_is_seen(case: str, mutant: type[Any]) -> None:
    was = case_of(case)
    assert said_by(mutant(), was) != was.said


def test_a_recovery_that_is_read_before_its_error_is_not_forgotten() -> None:
    """As the kernel's log and its trace were really read."""
    was = case_of("pcie_error/recorded_pcie_not_recovered")
    recovered = next(one for one in was.seen if isinstance(one, PcieRecovered))
    others = [one for one in was.seen if one is not recovered]
    assert "(gone, certain)" in said_by(PcieErrs(), told_in_this_order(was, [recovered, *others]))
    mutant = said_by(ForgetsRecoveries(), told_in_this_order(was, [recovered, *others]))
    assert "(gone, certain)" not in mutant


def told_in_this_order(case: Case, seen: list[Observation]) -> Case:
    return Case(case.settings, seen, case.zero, case.said)
