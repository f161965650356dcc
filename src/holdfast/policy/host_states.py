"""The life of a host as a controller sees it, as one table that answers every event.

A state's value is the sentence that explains it to people; docs/host_states.md is drawn from it.
"""

from enum import StrEnum

from holdfast.policy.vm_states import ImpossibleStepError


class HostState(StrEnum):
    UNHEARD = "has not been heard yet"
    SERVING = "pulses, and nothing is known to be wrong with it"
    IMPAIRED = "lives, and something of it is lost"
    STOPPING = "is stopped on purpose: its silence is expected"
    LOST = "is silent: suspected to be lost"
    STUCK = "is silent, though its kernel answers: suspected to be frozen"
    SETTLED = "is silent, and a person has dealt with it"


class HostEvent(StrEnum):
    HEARD = "it pulses, and nothing is wrong with it"
    IMPAIR = "something of it is lost, and it lives"
    PLAN = "it said that it stops"
    LOSE = "it fell silent"
    STICK = "it fell silent, and its kernel answers"
    OVERDUE = "it was stopped on purpose, and did not come back in time"
    SETTLE = "a person dealt with it"
    FORGET = "this controller's own host was booted: what it heard before is over"


S, E = HostState, HostEvent

SILENT = (S.LOST, S.STUCK)
HEARD = (S.SERVING, S.IMPAIRED, S.STOPPING)

_ANY = {
    E.HEARD: S.SERVING,
    E.IMPAIR: S.IMPAIRED,
    E.PLAN: S.STOPPING,
    E.LOSE: S.LOST,
    E.STICK: S.STUCK,
    E.FORGET: S.UNHEARD,
}

TRANSITIONS: dict[HostState, dict[HostEvent, HostState]] = {
    S.UNHEARD: {**_ANY},
    S.SERVING: {**_ANY},
    S.IMPAIRED: {**_ANY, E.SETTLE: S.SERVING},
    S.STOPPING: {
        **_ANY,
        E.IMPAIR: S.STOPPING,  # What stops loses one thing after the other.
        E.LOSE: S.STOPPING,
        E.STICK: S.STOPPING,
        E.OVERDUE: S.LOST,
        E.SETTLE: S.SETTLED,
        E.FORGET: S.STOPPING,
    },
    S.LOST: {**_ANY, E.SETTLE: S.SETTLED},
    S.STUCK: {**_ANY, E.SETTLE: S.SETTLED},
    S.SETTLED: {
        **_ANY,
        E.LOSE: S.SETTLED,  # It is known to be silent; heard again, it begins anew.
        E.STICK: S.SETTLED,
        E.SETTLE: S.SETTLED,
        E.FORGET: S.SETTLED,
    },
}

IMPOSSIBLE: dict[tuple[HostState, HostEvent], str] = {
    (S.UNHEARD, E.SETTLE): "nothing has been said of it",
    (S.SERVING, E.SETTLE): "nothing is wrong with it",
    **{
        (state, E.OVERDUE): "it is not known to be stopped on purpose"
        for state in HostState
        if state is not S.STOPPING
    },
}


def follow(state: HostState, event: HostEvent) -> HostState:
    """The next state. Raises ImpossibleStepError."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        reason = IMPOSSIBLE.get((state, event), "the table does not answer it")
        raise ImpossibleStepError(f"{state.name} cannot meet {event.name}: {reason}") from None
