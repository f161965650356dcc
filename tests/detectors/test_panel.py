"""The panel has the shape of one detector, whatever happens to one of those it asks."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.detectors.panel import Panel, detector_names, make_panel
from holdfast.facts.catalogue import BY_ID
from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation, UnknownSeen
from holdfast.facts.verdicts import FaultCleared, FaultRaised, Verdict, VmProcessEnded, VmRan
from holdfast.ports.plugins import UnknownPlugin
from tests.detectors.cases import START, life_of, parse_seen


class Speaker:
    """Says one thing at everything, and wants to be woken once."""

    def __init__(self, verdict: Verdict, due: Instant | None) -> None:
        self.verdict = verdict
        self.due = due

    def observe(self, _: Observation) -> Iterable[Verdict]:
        return [self.verdict]

    def wake(self, _: Instant) -> Iterable[Verdict]:
        self.due = None
        return [self.verdict]

    def deadline(self) -> Instant | None:
        return self.due


class Broken(Speaker):
    def observe(self, _: Observation) -> Iterable[Verdict]:
        raise ZeroDivisionError


FIRST = VmRan(life=life_of("web"), name="web", at=START)
SECOND = VmProcessEnded(life=life_of("web"), at=START)
UNKNOWN = UnknownSeen(at=START, what="a new event")


def test_all_are_asked_in_the_order_of_their_names() -> None:
    panel = Panel({"b": Speaker(SECOND, Instant(7)), "a": Speaker(FIRST, Instant(9))})
    assert panel.deadline() == 7
    assert panel.observe(UNKNOWN) == [FIRST, SECOND]
    assert panel.wake(Instant(9)) == [FIRST, SECOND]
    assert panel.deadline() is None


def test_the_unknown_is_counted() -> None:
    panel = make_panel()
    assert not panel.observe(UNKNOWN)
    assert panel.unknown_seen == 1


def test_a_broken_detector_is_counted_and_blinds_no_other() -> None:
    panel = Panel({"a": Broken(FIRST, None), "b": Speaker(SECOND, None)})
    assert panel.observe(UNKNOWN) == [SECOND]
    assert panel.observe(UNKNOWN) == [SECOND]
    assert panel.defects == {"a": 2}
    assert isinstance(panel.last_defect, ZeroDivisionError)


def test_settings_reach_their_detector() -> None:
    panel = make_panel({"vm_gone": {"clean_end_wait_ms": 100}})
    panel.observe(parse_seen("5 s QemuProcessGone web status=0"))
    assert panel.deadline() == parse_seen("5100 ms AgentSilent web").at


def test_settings_of_an_unknown_detector_are_refused() -> None:
    with pytest.raises(UnknownPlugin, match="did you mean vm_gone"):
        make_panel({"vm_gon": {}})


WORDS = [
    "VmAppeared {w}", "VmAppeared {w} found=true", "VmRenamed {v} name=new",
    "QemuThreadEnded {w} status=0", "QemuThreadEnded {w} status=9", "QemuProcessGone {w}",
    "QemuProcessGone {w} status=0", "CoreDumpBegan {w} signal=11",
    "LifecycleSeen {v} event=stopped detail=shutdown",
    "LifecycleSeen {v} event=stopped detail=destroyed",
    "LifecycleSeen {v} event=stopped detail=failed",
    "LifecycleSeen {v} event=started detail=booted",
    "LifecycleSeen {v} event=crashed detail=panicked", "LifecycleSeen {v} event=odd detail=odd",
    "QmpEventSeen {v} event=RESET", "QmpEventSeen {v} event=RESUME", "QmpEventSeen {v} event=STOP",
    "QmpEventSeen {v} event=SHUTDOWN", "QmpEventSeen {v} event=SHUTDOWN data=[]",
    "QmpEventSeen {v} event=SHUTDOWN 'data={{\"guest\": true}}'",
    "QmpEventSeen {v} event=SHUTDOWN 'data={{\"reason\": 3}}'",
    "QmpEventSeen {v} event=GUEST_PANICKED 'data={{\"info\": 3}}'",
    "QmpEventSeen {v} event=GUEST_CRASHLOADED", "QmpEventSeen {v} event=BLOCK_IO_ERROR",
    "QmpEventSeen {v} event=BLOCK_IO_ERROR 'data={{\"action\": \"stop\"}}'",
    "QmpEventSeen {v} event=WATCHDOG 'data={{\"action\": \"reset\"}}'",
    "QmpEventSeen {v} event=WATCHDOG data=nonsense", "QmpEventSeen {v} event=MIGRATION",
    "DomainStateRead {v} state=running reason=booted",
    "DomainStateRead {v} 'state=shut off' reason=saved",
    "DomainStateRead {v} state=paused 'reason=I/O error'",
    "QemuLogRead {w} reason=shutdown", "QemuLogRead {w} 'last_line=terminating on signal 15'",
    "VmFoundGone {w} 'last_seen=-5 s'", "VmFoundGone {w} 'last_seen=9 h' same_boot=false",
    "AgentAnswered {w}", "AgentSilent {w}", "AgentLeft {w}",
    "VcpusMeasured {w} window_ms=9000 vcpus=2 ran_ms=0 waited_ms=0 turns=0",
    "VcpusMeasured {w} window_ms=9000 vcpus=2 ran_ms=18000 waited_ms=0 turns=9",
    "LibvirtGone reason=closed", "LibvirtSilent 'since=0 s'", "LibvirtAnswered after_gap=true",
    "CallTimedOut call=domains", "ReportTimed fault_to_answer_ms=2000",
    "PieceLost what=lines count=1 reason=full", "UnknownSeen what=odd",
]  # fmt: skip


@given(
    st.lists(
        st.tuples(st.sampled_from(WORDS), st.integers(0, 4_000), st.sampled_from(["web", "db#2"])),
        max_size=60,
    )
)
@settings(max_examples=150, deadline=None)
def test_no_stream_of_observations_breaks_it(stream: list[tuple[str, int, str]]) -> None:
    panel = make_panel()
    at_ms = 0
    said: list[Verdict] = []
    for words, step_ms, who in stream:
        at_ms += step_ms
        line = words.format(w=who, v=who.partition("#")[0])
        said += panel.observe(parse_seen(f"{at_ms} ms {line}"))
    for _ in range(40):
        due = panel.deadline()
        if due is not None:
            said += panel.wake(due)
    assert panel.deadline() is None
    assert panel.defects == {}
    for verdict in said:
        if isinstance(verdict, FaultRaised | FaultCleared):
            assert verdict.subject.kind is BY_ID[verdict.condition].subject
            assert verdict.detector in detector_names()


def test_what_is_remembered_is_bounded() -> None:
    panel = make_panel()
    for number in range(3_000):
        at_ms = number * 100
        for kind in ("VmAppeared", "AgentAnswered", "QemuProcessGone"):
            extra = " status=9" if kind == "QemuProcessGone" else ""
            panel.observe(parse_seen(f"{at_ms} ms {kind} web#{number}{extra}"))
    for detector in panel._detectors.values():
        lives = getattr(detector, "_lives", ())
        assert len(lives) <= 2_000
