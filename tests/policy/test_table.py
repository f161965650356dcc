"""The table of a VM's life is total, every action has one seat, every condition has its row."""

import re
from pathlib import Path
from typing import get_args

import pytest

import holdfast
from holdfast.facts.actions import SEATS, Action
from holdfast.facts.catalogue import BY_ID, CATALOGUE
from holdfast.policy import host_states
from holdfast.policy.host_states import HostEvent, HostState
from holdfast.policy.vm_states import (
    IMPOSSIBLE,
    TRANSITIONS,
    ImpossibleStepError,
    VmEvent,
    VmState,
    follow,
)

SOURCE = Path(holdfast.__file__).parent
PAIRS = [(state, event) for state in VmState for event in VmEvent]


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=lambda value: value.name)
def test_every_state_answers_every_event_or_says_why_not(state: VmState, event: VmEvent) -> None:
    is_answered = event in TRANSITIONS[state]
    assert is_answered != ((state, event) in IMPOSSIBLE)


HOST_PAIRS = [(state, event) for state in HostState for event in HostEvent]


@pytest.mark.parametrize(("state", "event"), HOST_PAIRS, ids=lambda value: value.name)
def test_every_state_of_a_host_answers_every_event_or_says_why_not(
    state: HostState, event: HostEvent
) -> None:
    is_answered = event in host_states.TRANSITIONS[state]
    assert is_answered != ((state, event) in host_states.IMPOSSIBLE)


def test_every_state_of_a_host_can_be_reached_and_left() -> None:
    table = host_states.TRANSITIONS
    reached = {HostState.UNHEARD}
    while more := {after for state in reached for after in table[state].values()} - reached:
        reached |= more
    assert reached == set(HostState)
    for state in HostState:
        assert table[state][HostEvent.HEARD] is HostState.SERVING, f"{state} outlives a pulse"
        assert set(table[state].values()) - {state}, f"{state} is a trap"


def test_what_is_impossible_is_said_with_its_reason() -> None:
    with pytest.raises(ImpossibleStepError, match="RUNNING cannot meet START: a start needs"):
        follow(VmState.RUNNING, VmEvent.START)


def test_every_state_can_be_reached_and_left() -> None:
    reached = {VmState.UNKNOWN}
    while more := {n for s in reached for n in TRANSITIONS[s].values()} - reached:
        reached |= more
    assert reached == set(VmState)
    for state in VmState:
        assert set(TRANSITIONS[state].values()) - {state}, f"{state} is a trap"


def test_only_a_proof_leads_to_a_start() -> None:
    to_start = {s for s in VmState for n in TRANSITIONS[s].values() if n is VmState.STARTING}
    assert to_start == {VmState.PROVING, VmState.STARTING}


def test_every_action_has_exactly_one_seat() -> None:
    assert set(SEATS) == set(get_args(Action))


def test_every_condition_that_is_raised_has_its_row() -> None:
    """Conditions are words with dashes; detectors keep them in constants, policy names its own."""
    text = "\n".join(p.read_text() for p in (SOURCE / "detectors").rglob("*.py"))
    raised = set(re.findall(r'"((?:vm|libvirt|reporting|records)-[a-z-]+)"', text))
    raised |= set(re.findall(r'^[A-Z_]+ = "([a-z]+-[a-z-]+)"$', text, re.MULTILINE))
    assert {"vm-gone", "vm-stuck", "host-lost"} <= raised, "the search finds nothing"
    policy = "\n".join(p.read_text() for p in (SOURCE / "policy").rglob("*.py"))
    own = set(re.findall(r'own\(\s*world,\s*"([a-z-]+)"', policy))
    assert {"recovery-given-up", "promise-broken", "disarmed", "agent-amnesiac"} == own
    assert raised | own <= set(BY_ID)


def test_the_catalogue_has_no_row_that_nothing_raises() -> None:
    rooms = ("detectors", "policy", "controller")
    text = "\n".join(p.read_text() for room in rooms for p in (SOURCE / room).rglob("*.py"))
    assert [row.id for row in CATALOGUE if f'"{row.id}"' not in text] == []
