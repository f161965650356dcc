"""However the witnesses of an end are delayed, mixed and doubled, the judgement is the same."""

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.detectors.vm_gone import VmGone
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.observations import Observation, QemuThreadEnded
from holdfast.facts.verdicts import FaultCleared, FaultRaised, StopWanted, Verdict
from tests.detectors.cases import parse_seen, wakes

pytestmark = pytest.mark.slow  # Seconds in all: `make test` runs them.

# libvirt's word comes up to 420 ms after the first sign and is waited for 700 ms.
MOST_LATE_MS = 250
DATA = {
    "guest": 'event=SHUTDOWN \'data={"guest": true, "reason": "guest-shutdown"}\'',
    "signal": 'event=SHUTDOWN \'data={"guest": false, "reason": "host-signal"}\'',
    "moved": 'event=MIGRATION \'data={"status": "completed"}\'',
    "poweroff": 'event=WATCHDOG \'data={"action": "poweroff"}\'',
    "panic": 'event=GUEST_PANICKED \'data={"action": "pause"}\'',
    "dumping": 'event=GUEST_CRASHLOADED \'data={"action": "run"}\'',
}


def qmp(at_ms: float, which: str) -> str:
    return f"{at_ms} ms QmpEventSeen web {DATA[which]}"


def thread(at_ms: float, status: str, tid: int = 12) -> str:
    return f"{at_ms} ms QemuThreadEnded web status={status} tid={tid}"


def gone(at_ms: float, status: str = "none") -> str:
    return f"{at_ms} ms QemuProcessGone web status={status}"


def stopped(at_ms: float, detail: str) -> str:
    return f"{at_ms} ms LifecycleSeen web event=stopped detail={detail}"


def log(at_ms: float, reason: str, line: str = "") -> str:
    return f"{at_ms} ms QemuLogRead web 'reason={reason}' 'last_line={line}'"


BY_LIBVIRT = "qemu-system-x86_64: terminating on signal 15 from pid 37 (libvirtd)"
BY_BASH = "qemu-system-x86_64: terminating on signal 15 from pid 4711 (bash)"
RESUMED = "6500 ms QmpEventSeen web event=RESUME"
HALF = [thread(9_000, "0"), thread(9_001, "0", 13), gone(9_010, "0")]
KILLED = [thread(9_000, "9"), thread(9_001, "9", 13), gone(9_010)]

WANTED = {
    "powered off": [qmp(8_960, "guest"), qmp(8_961, "signal"), *HALF, stopped(9_244, "shutdown")],
    "powered off, status unknown": [qmp(8_960, "guest"), gone(9_010), stopped(9_244, "shutdown")],
    "powered off, libvirt dead": [qmp(8_960, "guest"), *HALF],
    "destroyed": [*HALF, qmp(9_222, "signal"), stopped(9_420, "destroyed")],
    "destroyed, status unknown": [gone(9_010), stopped(9_420, "destroyed")],
    "destroyed, told by the log": [*HALF, log(9_300, "", BY_LIBVIRT)],
    "saved": [qmp(8_800, "moved"), qmp(8_990, "signal"), *HALF, stopped(9_391, "saved")],
    "saved, libvirt dead": [qmp(8_800, "moved"), qmp(8_990, "signal"), *HALF],
    "migrated": [qmp(8_100, "moved"), *HALF, stopped(9_200, "migrated")],
    "reverted": [*HALF, stopped(9_200, "from_snapshot")],
    "shut down, told by the log": [*HALF, stopped(9_200, "shutdown"), log(9_250, "shutdown")],
}
FORCED = {
    "destroyed by force": [*KILLED, stopped(9_300, "destroyed")],
    "powered off by force": [qmp(8_000, "guest"), *KILLED, stopped(9_300, "shutdown")],
}
FAILED = {
    "killed": [*KILLED, stopped(9_207, "failed"), log(9_300, "crashed")],
    "killed, libvirt dead": KILLED,
    "killed after a dump": [qmp(6_000, "moved"), RESUMED, *KILLED, stopped(9_207, "failed")],
    "cored": ["9000 ms CoreDumpBegan web signal=11", thread(9_200, "139"), gone(9_300)],
    "status unknown": [gone(9_010), stopped(9_207, "failed")],
    "watchdog": [qmp(8_999, "poweroff"), *HALF, stopped(9_200, "failed")],
    "crash dump": [qmp(5_000, "dumping"), qmp(8_960, "guest"), *HALF, stopped(9_200, "shutdown")],
    "exits by itself": [*HALF, stopped(9_207, "failed")],
    "terminated": [
        qmp(8_999, "signal"),
        *HALF,
        stopped(9_204, "shutdown"),
        log(9_220, "", BY_BASH),
    ],
    "terminated, libvirt dead": [qmp(8_999, "signal"), *HALF],
    "terminated after a dump": [qmp(6_000, "moved"), RESUMED, qmp(8_999, "signal"), *HALF],
    "unexplained": HALF,
    "unexplained, no status": [gone(9_010)],
}
JOINED = {
    "panicked and killed": [qmp(5_000, "panic"), *KILLED, stopped(9_207, "failed")],
    "panicked and destroyed": [qmp(5_000, "panic"), *HALF, stopped(9_207, "destroyed")],
}
SCENES = {**WANTED, **FORCED, **FAILED, **JOINED}

Delivered = list[tuple[int, Observation]]


@st.composite
def deliveries(draw: st.DrawFn, lines: list[str]) -> Delivered:
    """Each line once or twice, each time late by its own delay; the VM was known long before."""
    delivered: Delivered = []
    for line in lines:
        seen = parse_seen(line)
        for _ in range(draw(st.integers(1, 2))):
            late_ms = draw(st.integers(0, MOST_LATE_MS))
            delivered.append((seen.at + late_ms * NS_PER_MS, seen))
    appeared = parse_seen("0 ms VmAppeared web")
    return [(appeared.at, appeared), *sorted(delivered, key=lambda each: each[0])]


def calls(
    detector: VmGone, delivered: Delivered
) -> Iterator[tuple[Observation | None, list[Verdict]]]:
    """Every call of the detector, with what it was told (None: woken) and what it said."""
    for at, seen in delivered:
        for due in wakes(detector, Instant(at)):
            yield None, list(detector.wake(due))
        yield seen, list(detector.observe(seen))
    for due in wakes(detector, None):
        yield None, list(detector.wake(due))


def outcome(verdicts: list[Verdict]) -> tuple[dict[str, str], set[bool]]:
    """What stands at the end: the open faults with their causes, and the stops that were told."""
    faults: dict[str, str] = {}
    stops: set[bool] = set()
    for verdict in verdicts:
        match verdict:
            case FaultRaised():
                faults[verdict.condition] = verdict.cause
            case FaultCleared():
                del faults[verdict.condition]
            case StopWanted():
                stops.add(verdict.moved_away)
            case _:
                pass
    return faults, stops


def in_order(lines: list[str]) -> Delivered:
    seen = [parse_seen(line) for line in ["0 ms VmAppeared web", *lines]]
    return [(each.at, each) for each in sorted(seen, key=lambda each: each.at)]


def verdicts_of(delivered: Delivered) -> list[Verdict]:
    return [verdict for _, said in calls(VmGone(), delivered) for verdict in said]


@pytest.mark.parametrize("scene", SCENES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_same_witnesses_give_the_same_judgement(scene: str, data: st.DataObject) -> None:
    lines = SCENES[scene]
    mixed = verdicts_of(data.draw(deliveries(lines)))
    assert outcome(mixed) == outcome(verdicts_of(in_order(lines)))


@pytest.mark.parametrize("scene", [*WANTED, *JOINED])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_wanted_stop_never_raises(scene: str, data: st.DataObject) -> None:
    said = verdicts_of(data.draw(deliveries(SCENES[scene])))
    assert not [verdict for verdict in said if isinstance(verdict, FaultRaised)]


@pytest.mark.parametrize("scene", WANTED)
def test_a_wanted_stop_is_told(scene: str) -> None:
    assert outcome(verdicts_of(in_order(WANTED[scene]))) == ({}, {scene == "migrated"})


@pytest.mark.parametrize("scene", FORCED)
def test_a_stop_by_force_is_taken_back(scene: str) -> None:
    said = verdicts_of(in_order(FORCED[scene]))
    assert [type(each) for each in said if isinstance(each, FaultRaised | FaultCleared)] == [
        FaultRaised,
        FaultCleared,
    ]
    assert outcome(said) == ({}, {False})


@pytest.mark.parametrize("scene", FAILED)
def test_a_failure_is_an_alarm_and_no_stop(scene: str) -> None:
    faults, stops = outcome(verdicts_of(in_order(FAILED[scene])))
    assert len(faults) == 1
    assert not stops


@pytest.mark.parametrize("scene", [name for name, lines in FAILED.items() if KILLED[0] in lines])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_status_that_is_not_zero_is_told_in_the_same_call(
    scene: str, data: st.DataObject
) -> None:
    first = True
    for seen, said in calls(VmGone(), data.draw(deliveries(SCENES[scene]))):
        raised = [verdict for verdict in said if isinstance(verdict, FaultRaised)]
        if isinstance(seen, QemuThreadEnded) and first:
            assert [fault.condition for fault in raised] == ["vm-gone"]
            first = False


@given(status=st.integers(1, 0xFFFF))
def test_every_status_but_zero_is_a_failure(status: int) -> None:
    detector = VmGone()
    ended = msgspec.structs.replace(parse_seen(thread(9_000, "9")), status=status)
    [fault] = detector.observe(ended)
    assert isinstance(fault, FaultRaised)
    assert (fault.condition, fault.fault_at) == ("vm-gone", ended.at)
