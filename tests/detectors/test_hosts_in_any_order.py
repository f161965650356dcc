"""Whatever is heard of hosts, in any order: no detector breaks, nothing is confirmed, all ends.

covers: H7
"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.detectors.panel import detector_names, make_panel
from holdfast.facts.catalogue import BY_ID
from holdfast.facts.subjects import SubjectKind
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised, Verdict
from tests.detectors.cases import parse_seen

PLANES = json.dumps(["a", "b"])
WORDS = [
    f"HostExpected host={{h}} name=n-{{h}} boot={{h}}1 'planes={PLANES}'",
    "HostForgotten host={h}",
    "PlaneHeard host={h} plane={p} boot={h}1",
    "PlaneHeard host={h} plane={p} boot={h}1",
    "PlaneHeard host={h} plane={p} boot={h}2",
    "PlaneSilent host={h} plane={p} boot={h}1 'last_heard=-200 ms' missed=4",
    "PlaneSilent host={h} plane={p} boot={h}1 'last_heard=-200 ms' missed=4",
    "PlaneSilent host={h} plane={p} boot={h}2 'last_heard=-200 ms' missed=4 'newest_other=0 ms'",
    'PulseSaid host={h} boot={h}1 \'layers={{"agent":"well"}}\'',
    'PulseSaid host={h} boot={h}1 \'layers={{"agent":"stale"}}\'',
    "PulseSaid host={h} boot={h}1 layers={{}} plan=host-stops",
    "PulseSaid host={h} boot={h}1 layers={{}} plan=pulse-restarts plan_limit_ms=5000",
    "LinkChanged host={h} boot={h}1 is_up=true",
    "LinkChanged host={h} boot={h}1 is_up=false",
    "WitnessSpoke host={h} kind=probe witness=x plane={p} sign=kernel",
    "WitnessSpoke host={h} kind=probe witness=x plane={p} sign=nothing",
    "WitnessSpoke host={h} kind=agent witness={h} plane={p} sign=pulse",
    "WitnessSpoke host={h} kind=controller witness=c plane={p} sign=pulse",
    "WitnessSpoke host={h} kind=agent witness=y plane={p} sign=unknown",
    "LastGasp host={h} text=panic",
    "DumpSeen host={h}",
    "PulsesRefused host={h} plane={p} reason=key sender=s count=1",
    f"BootsCrossed host={{h}} 'boots={json.dumps(['x', 'y'])}' 'senders={json.dumps(['s', 't'])}'",
    "EarDoubted late_ms=99 reason=late",
    "EarTrusted",
]
EVENT = st.tuples(
    st.sampled_from(WORDS),
    st.sampled_from(("h1", "h2", "h3")),
    st.sampled_from(("a", "b")),
    st.integers(0, 3_000),
)


def key(verdict: FaultRaised | FaultCleared) -> tuple[str, str, str]:
    return verdict.condition, verdict.subject.id, verdict.boot


@pytest.mark.slow
@given(st.lists(EVENT, max_size=60))
@settings(max_examples=200, deadline=None)
def test_no_stream_of_what_is_heard_breaks_them(stream: list[tuple[str, str, str, int]]) -> None:
    panel = make_panel(seat="controller")
    said: list[Verdict] = []
    at_ms = 0

    def hear(words: str) -> None:
        said.extend(panel.observe(parse_seen(f"{at_ms} ms {words}")))

    for words, host, plane, step_ms in stream:
        at_ms += step_ms
        end = parse_seen(f"{at_ms} ms EarTrusted").at
        while (due := panel.deadline()) is not None and due <= end:
            said += panel.wake(due)
        hear(words.format(h=host, p=plane))
    at_ms += 1
    hear("EarTrusted")
    for host in ("h1", "h2", "h3"):  # All is well in the end, in a new boot.
        for plane in ("a", "b"):
            hear(f"PlaneHeard host={host} plane={plane} boot={host}9")
        hear(f'PulseSaid host={host} boot={host}9 \'layers={{"agent":"well"}}\'')
        hear(f"LinkChanged host={host} boot={host}9 is_up=true")
    for _ in range(50):
        if (due := panel.deadline()) is not None:
            said += panel.wake(due)
    assert panel.deadline() is None
    assert panel.defects == {}, panel.last_defect
    open_ones: set[tuple[str, str, str]] = set()
    for verdict in said:
        if isinstance(verdict, FaultRaised):
            assert verdict.detector in detector_names()
            assert verdict.subject.kind is BY_ID[verdict.condition].subject
            is_dead = verdict.effect in (Effect.GONE, Effect.STUCK)
            assert not (is_dead and verdict.certainty is Certainty.CERTAIN), "nobody saw it die"
            is_of_host = verdict.subject.kind is SubjectKind.HOST
            assert not is_of_host or verdict.subject.name.startswith(("n-", "h"))
            open_ones.add(key(verdict))
        elif isinstance(verdict, FaultCleared):
            open_ones.discard(key(verdict))
    assert open_ones == set()
