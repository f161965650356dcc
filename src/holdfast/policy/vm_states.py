"""The life of a VM under Holdfast, as one table that answers every event.

A state's value is the sentence that explains it to people. The picture in docs/ARCHITECTURE.md is
drawn from the table. Impossible pairs are listed, each with its reason, and tested as such.
"""

from enum import StrEnum


class VmState(StrEnum):
    UNKNOWN = "not seen yet"
    RUNNING = "runs"
    STOPPED = "stopped on purpose"
    FAILED = "failed, evidence is being taken"
    LEFT = "failed, left to its owner"
    HELD_BACK = "failed, recovery is held back"
    UNEXPLAINED = "stopped, nobody can say why yet"
    ENDING = "is being ended, to start again"
    PROVING = "is being shown to be gone"
    WAITING = "waits for its next start"
    STARTING = "is being started"
    ANSWERING = "runs, its answer is awaited"
    HANDED_OVER = "left to a person"


class VmEvent(StrEnum):
    RAN = "a life of it began, or was found"
    MENDED = "its fault is over and it runs"
    RETRACTED = "it had no fault, and runs"
    ANSWERED = "the guest answered as promised"
    SETTLED = "a person dealt with it, and it runs"
    STOP_WANTED = "somebody wanted it to stop"
    FAILED = "it failed"
    PUZZLED = "it stopped and nobody could say why"
    LEAVE = "its recovery is not ours"
    HOLD = "its recovery is disarmed, or not granted yet"
    RETRY = "what held its recovery back is over"
    END = "its evidence is taken: it is time to end it"
    GONE = "its process is gone"
    PROVE = "it is time to show that it is gone"
    WAIT = "it is gone, and its next start is not due yet"
    START = "nothing of it is left: it is time to start it"
    GIVEN_UP = "recovery is given up"


S, E = VmState, VmEvent

# Recovery is under way: a further fault, or the end of the process, joins it.
UNDER_WAY = (S.ENDING, S.PROVING, S.WAITING, S.STARTING)
LEFT_ALONE = (S.LEFT, S.HELD_BACK, S.UNEXPLAINED, S.HANDED_OVER)


def _stays(state: VmState, *events: VmEvent) -> dict[VmEvent, VmState]:
    return dict.fromkeys(events, state)


_ALWAYS = {E.STOP_WANTED: S.STOPPED, E.GIVEN_UP: S.HANDED_OVER}
_FAULTS = {E.FAILED: S.FAILED, E.PUZZLED: S.UNEXPLAINED}
_HELD = {E.LEAVE: S.LEFT, E.HOLD: S.HELD_BACK}

TRANSITIONS: dict[VmState, dict[VmEvent, VmState]] = {
    S.UNKNOWN: {**_ALWAYS, **_FAULTS, E.RAN: S.RUNNING},
    S.RUNNING: {
        **_ALWAYS,
        **_FAULTS,
        **_stays(S.RUNNING, E.RAN, E.RETRACTED, E.SETTLED),
        E.GONE: S.RUNNING,  # The verdict on a clean end is still to come.
        E.MENDED: S.ANSWERING,
    },
    S.STOPPED: {**_ALWAYS, **_FAULTS, E.RAN: S.RUNNING, E.GONE: S.STOPPED},
    S.FAILED: {
        **_ALWAYS,
        **_HELD,
        **_stays(S.FAILED, E.FAILED, E.PUZZLED, E.GONE),
        E.RAN: S.ANSWERING,  # Somebody else was faster: its answer still counts.
        E.MENDED: S.ANSWERING,
        E.RETRACTED: S.RUNNING,
        E.SETTLED: S.RUNNING,
        E.END: S.ENDING,
        E.PROVE: S.PROVING,
    },
    S.LEFT: {
        **_ALWAYS,
        **_HELD,
        **_FAULTS,
        **_stays(S.LEFT, E.MENDED, E.GONE),
        E.RAN: S.LEFT,  # Running is not answering: the incident waits for the answer.
        E.RETRACTED: S.RUNNING,
        E.ANSWERED: S.RUNNING,
        E.SETTLED: S.RUNNING,
        E.RETRY: S.FAILED,
    },
    S.HELD_BACK: {
        **_ALWAYS,
        **_HELD,
        **_stays(S.HELD_BACK, E.GONE, E.PUZZLED),
        E.FAILED: S.FAILED,
        E.RAN: S.ANSWERING,
        E.MENDED: S.ANSWERING,
        E.RETRACTED: S.RUNNING,
        E.ANSWERED: S.RUNNING,  # It had been overdue, and a person wanted it started anew.
        E.SETTLED: S.RUNNING,
        E.RETRY: S.FAILED,
    },
    S.UNEXPLAINED: {
        **_ALWAYS,
        **_HELD,
        **_stays(S.UNEXPLAINED, E.PUZZLED, E.GONE),
        E.FAILED: S.FAILED,
        E.RAN: S.ANSWERING,
        E.RETRY: S.FAILED,
    },
    S.ENDING: {
        **_ALWAYS,
        **_HELD,
        **_stays(S.ENDING, E.FAILED, E.PUZZLED, E.GONE),
        **_stays(S.ENDING, E.MENDED, E.RETRACTED),  # Too late: it is being ended.
        E.RAN: S.ANSWERING,
        E.PROVE: S.PROVING,
    },
    S.PROVING: {
        **_ALWAYS,
        **_HELD,
        **_stays(S.PROVING, E.FAILED, E.PUZZLED, E.GONE, E.PROVE),
        **_stays(S.PROVING, E.MENDED, E.RETRACTED),  # It was ended, and is on its way out.
        E.RAN: S.ANSWERING,
        E.WAIT: S.WAITING,
        E.START: S.STARTING,
    },
    S.WAITING: {
        **_ALWAYS,
        **_HELD,
        **_stays(S.WAITING, E.FAILED, E.PUZZLED, E.GONE),
        E.RAN: S.ANSWERING,
        E.PROVE: S.PROVING,
    },
    S.STARTING: {
        **_ALWAYS,
        **_HELD,
        **_stays(S.STARTING, E.FAILED, E.PUZZLED, E.GONE),
        E.RAN: S.ANSWERING,
        E.PROVE: S.PROVING,
    },
    S.ANSWERING: {
        **_ALWAYS,
        **_FAULTS,
        **_stays(S.ANSWERING, E.RAN, E.MENDED),
        E.GONE: S.ANSWERING,  # The verdict on this end is still to come.
        E.RETRACTED: S.RUNNING,
        E.ANSWERED: S.RUNNING,
        E.SETTLED: S.RUNNING,
    },
    S.HANDED_OVER: {
        **_ALWAYS,
        **_HELD,
        **_stays(S.HANDED_OVER, E.FAILED, E.PUZZLED, E.MENDED, E.GONE),
        E.RAN: S.HANDED_OVER,  # Running is not answering: the incident waits for the answer.
        E.RETRACTED: S.RUNNING,
        E.ANSWERED: S.RUNNING,
        E.SETTLED: S.RUNNING,
        E.RETRY: S.FAILED,
    },
}

_NO_FAULT = (S.UNKNOWN, S.RUNNING, S.STOPPED)
_DEAD = (S.UNKNOWN, S.STOPPED, S.UNEXPLAINED, S.WAITING, S.STARTING)


def _all_but(
    states: tuple[VmState, ...], event: VmEvent, reason: str
) -> dict[tuple[VmState, VmEvent], str]:
    return {(state, event): reason for state in S if state not in states}


_AWAITED = (S.ANSWERING, S.LEFT, S.HELD_BACK, S.HANDED_OVER)
_MAY_END = (S.FAILED,)
_MAY_PROVE = (S.FAILED, *UNDER_WAY)

IMPOSSIBLE: dict[tuple[VmState, VmEvent], str] = {
    **_all_but(_AWAITED, E.ANSWERED, "no answer of it is awaited"),
    **_all_but(_MAY_END, E.END, "only what failed and lives is ended, when its evidence is taken"),
    **_all_but(_MAY_PROVE, E.PROVE, "only recovery asks for a proof"),
    **_all_but((S.PROVING,), E.WAIT, "only what was just shown to be gone waits for its start"),
    **_all_but((S.PROVING,), E.START, "a start needs a proof made just now"),
    **_all_but(LEFT_ALONE, E.RETRY, "nothing held its recovery back"),
    **{(state, E.LEAVE): "it has not failed" for state in (*_NO_FAULT, S.ANSWERING)},
    **{(state, E.HOLD): "it has not failed" for state in (*_NO_FAULT, S.ANSWERING)},
    **{(state, E.MENDED): "what does not run is not mended" for state in _DEAD},
    **{(state, E.RETRACTED): "what does not run has stopped indeed" for state in _DEAD},
    **{(state, E.SETTLED): "it does not run: settled, it is stopped" for state in _DEAD},
    **{(state, E.SETTLED): "our own end of it is under way" for state in (S.ENDING, S.PROVING)},
    (S.UNKNOWN, E.GONE): "nothing was seen of it that could go",
}


class ImpossibleStepError(RuntimeError):
    """An event came in a state that cannot meet it: a defect of ours, said and never acted on."""


def follow(state: VmState, event: VmEvent) -> VmState:
    """The next state. Raises ImpossibleStepError."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        reason = IMPOSSIBLE.get((state, event), "the table does not answer it")
        raise ImpossibleStepError(f"{state.name} cannot meet {event.name}: {reason}") from None
