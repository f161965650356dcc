"""What the agent is told of its hardware becomes alarms, and outlives a restart of the agent."""

from pathlib import Path

import pytest

from holdfast.adapters.sensors.kernel_log import KernelLog
from holdfast.agent.hardware import HardwareSight, left_open, of_detectors
from holdfast.detectors.panel import make_panel
from holdfast.facts.actions import Report
from holdfast.facts.alarms import AlarmState
from holdfast.facts.catalogue import BY_ID
from holdfast.facts.catalogue_hardware import HARDWARE
from holdfast.facts.commands import Booted
from holdfast.facts.hardware import is_part
from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.settings import Settings
from holdfast.facts.settings_hardware import Hardware
from holdfast.policy.decide import Decider
from holdfast.ports.detector import Detector
from tests.detectors.cases import play, read_recording
from tests.recordings.hardware_records import FOLDER

RECORDINGS = sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def booted(decider: Decider, at: int = 1) -> None:
    decider.step(Booted(at=Instant(at), host="h-1", host_name="h1", boot="b1", state_id="s"))


def told(decider: Decider, panel: Detector, seen: list[Observation]) -> list[Report]:
    actions = [act for _, verdict in play(panel, seen) for act in decider.step(verdict)]
    return [act for act in actions if isinstance(act, Report)]


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_recorded_fault_is_an_alarm_of_the_catalogue(name: str) -> None:
    """Raised with advice to the VIM; and cleared, where it ends by itself."""
    decider = Decider()
    booted(decider)
    said = told(decider, make_panel(of_detectors(Hardware())), read_recording(f"linux-6.1/{name}"))
    raised = [one.alarm for one in said if one.alarm.state is not AlarmState.CLEARED]
    quiet = {"pcie_corrected", "machine_check_of_an_unknown_kind"}
    assert bool(raised) == (name not in quiet)
    for alarm in raised:
        assert BY_ID[alarm.condition] in HARDWARE
        assert alarm.details["advice"] in ("nothing", "quarantine", "drain")
        assert is_part(alarm.subject)


def test_an_alarm_of_the_agent_before_is_cleared_by_this_one() -> None:
    """The world is in the journal, what the detectors knew is not."""
    seen = read_recording("linux-6.1/nvme_warns")
    decider = Decider()
    booted(decider)
    [raised] = told(decider, make_panel(), seen[:1])
    again = make_panel()
    left = [*left_open(decider.world, seen[-1].at)]
    assert [one.condition for one in left] == ["nvme-warning"]
    [cleared] = told(decider, again, [*left, seen[-1]])
    assert cleared.alarm.key == raised.alarm.key
    assert cleared.alarm.state is AlarmState.CLEARED


def test_without_that_word_it_would_stand_for_ever() -> None:
    """The mutant of the test before: it shows what the word is for."""
    seen = read_recording("linux-6.1/nvme_warns")
    decider = Decider()
    booted(decider)
    told(decider, make_panel(), seen[:1])
    assert told(decider, make_panel(), [seen[-1]]) == []


def test_ten_kinds_of_errors_of_one_memory_are_one_alarm() -> None:
    decider = Decider()
    booted(decider)
    seen = read_recording("linux-6.1/memory_corrected")
    said = told(decider, make_panel(), seen)
    assert {one.alarm.condition for one in said} == {"memory-corrected"}
    assert len([one for one in said if one.alarm.state is AlarmState.RAISED]) == 1


@pytest.mark.parametrize(
    ("watch", "owns_machine", "is_watched"),
    [(None, True, True), (None, False, False), (True, False, True), (False, True, False)],
)
def test_only_hardware_of_its_own_is_watched(
    tmp_path: Path, watch: bool | None, owns_machine: bool, is_watched: bool
) -> None:
    settings = Settings(state_dir=str(tmp_path), hardware=Hardware(watch=watch))
    kernel_log = KernelLog()
    sight = HardwareSight(settings, kernel_log, lambda: owns_machine)
    assert bool(sight.sensors) is is_watched
    shown = sight.shown()
    assert set(shown) == ({one.name for one in sight.sensors} or {"hardware"})
    assert is_watched or "not watched" in shown["hardware"]
