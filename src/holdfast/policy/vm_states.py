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
    HELD_BACK = "failed, recovery is disarmed"
    UNEXPLAINED = "stopped, nobody can say why yet"
    ENDING = "is being ended, to start again"
    PROVING = "is being shown to be gone"
    WAITING = "waits for its next start"
    STARTING = "is being started"
    ANSWERING = "runs, its answer is awaited"
    HANDED_OVER = "left to a person"


class VmEvent(StrEnum):
    RAN = "a life of it began, or was found"
    MENDED = "its fault was cleared"
    ANSWERED = "the guest answered as promised"
    STOP_WANTED = "somebody wanted it to stop"
    FAILED = "it failed and is gone, or going"
    STUCK = "it failed and its process still lives"
    PUZZLED = "it stopped and nobody could say why"
    LEAVE = "it failed, and recovery is not ours"
    HOLD = "it failed, and recovery is disarmed"
    EVIDENCE_TAKEN = "the evidence is taken, or its time is over"
    GONE = "its process is gone"
    PROVE = "it is time to show that it is gone"
    PROVEN = "nothing of it is left on this host"
    START = "it is time to start it"
    GIVEN_UP = "recovery is given up"


S, E = VmState, VmEvent

# Wherever a VM stands, these three mean the same.
_ALWAYS = {E.STOP_WANTED: S.STOPPED, E.GIVEN_UP: S.HANDED_OVER}
_FAULTS = {
    E.FAILED: S.FAILED,
    E.STUCK: S.FAILED,
    E.PUZZLED: S.UNEXPLAINED,
    E.LEAVE: S.LEFT,
    E.HOLD: S.HELD_BACK,
}

TRANSITIONS: dict[VmState, dict[VmEvent, VmState]] = {
    S.UNKNOWN: {E.RAN: S.RUNNING, **_FAULTS, **_ALWAYS},
    S.RUNNING: {
        **_FAULTS,
        **_ALWAYS,
        E.RAN: S.RUNNING,
        E.MENDED: S.RUNNING,
        E.ANSWERED: S.RUNNING,
        E.GONE: S.RUNNING,  # The verdict on a clean end is still to come.
    },
    S.STOPPED: {**_FAULTS, **_ALWAYS, E.RAN: S.RUNNING, E.GONE: S.STOPPED, E.MENDED: S.STOPPED},
    S.FAILED: {
        **_FAULTS,
        **_ALWAYS,
        E.RAN: S.ANSWERING,  # Somebody else was faster: its answer still counts.
        E.MENDED: S.RUNNING,
        E.ANSWERED: S.RUNNING,
        E.EVIDENCE_TAKEN: S.ENDING,
        E.GONE: S.FAILED,
        E.PROVE: S.PROVING,
    },
    S.LEFT: {
        **_FAULTS,
        **_ALWAYS,
        E.RAN: S.LEFT,  # Running is not answering: the incident waits for the answer.
        E.MENDED: S.RUNNING,
        E.ANSWERED: S.RUNNING,
        E.EVIDENCE_TAKEN: S.LEFT,
        E.GONE: S.LEFT,
        E.PROVE: S.PROVING,
    },
    S.HELD_BACK: {
        **_FAULTS,
        **_ALWAYS,
        E.RAN: S.ANSWERING,
        E.MENDED: S.RUNNING,
        E.ANSWERED: S.RUNNING,
        E.EVIDENCE_TAKEN: S.HELD_BACK,
        E.GONE: S.HELD_BACK,
        E.PROVE: S.PROVING,
    },
    S.UNEXPLAINED: {
        **_FAULTS,
        **_ALWAYS,
        E.RAN: S.ANSWERING,
        E.MENDED: S.STOPPED,
        E.ANSWERED: S.RUNNING,
        E.EVIDENCE_TAKEN: S.UNEXPLAINED,
        E.GONE: S.UNEXPLAINED,
        E.PROVE: S.PROVING,
    },
    S.ENDING: {
        E.STOP_WANTED: S.ENDING,  # Our own destroy: libvirt calls it wanted, and it was ours.
        E.GIVEN_UP: S.HANDED_OVER,
        E.FAILED: S.ENDING,
        E.STUCK: S.ENDING,
        E.PUZZLED: S.ENDING,
        E.LEAVE: S.LEFT,
        E.HOLD: S.HELD_BACK,
        E.RAN: S.ANSWERING,
        E.MENDED: S.ENDING,  # Too late to change our mind: it is being ended.
        E.ANSWERED: S.ENDING,
        E.EVIDENCE_TAKEN: S.ENDING,
        E.GONE: S.ENDING,
        E.PROVE: S.PROVING,
    },
    S.PROVING: {
        **_FAULTS,
        **_ALWAYS,
        E.FAILED: S.PROVING,
        E.STUCK: S.PROVING,
        E.PUZZLED: S.PROVING,
        E.RAN: S.ANSWERING,
        E.MENDED: S.PROVING,
        E.ANSWERED: S.RUNNING,
        E.EVIDENCE_TAKEN: S.PROVING,
        E.GONE: S.PROVING,
        E.PROVE: S.PROVING,
        E.PROVEN: S.WAITING,
    },
    S.WAITING: {
        **_FAULTS,
        **_ALWAYS,
        E.FAILED: S.WAITING,
        E.STUCK: S.WAITING,
        E.PUZZLED: S.WAITING,
        E.RAN: S.ANSWERING,
        E.MENDED: S.WAITING,
        E.ANSWERED: S.RUNNING,
        E.EVIDENCE_TAKEN: S.WAITING,
        E.GONE: S.WAITING,
        E.PROVE: S.PROVING,
        E.START: S.STARTING,
    },
    S.STARTING: {
        **_FAULTS,
        **_ALWAYS,
        E.RAN: S.ANSWERING,
        E.MENDED: S.STARTING,
        E.ANSWERED: S.RUNNING,
        E.EVIDENCE_TAKEN: S.STARTING,
        E.GONE: S.STARTING,
        E.PROVE: S.PROVING,
    },
    S.ANSWERING: {
        **_FAULTS,
        **_ALWAYS,
        E.RAN: S.ANSWERING,
        E.MENDED: S.ANSWERING,
        E.ANSWERED: S.RUNNING,
        E.EVIDENCE_TAKEN: S.ANSWERING,
        E.GONE: S.ANSWERING,  # The verdict on this end is still to come.
    },
    S.HANDED_OVER: {
        **_FAULTS,
        **_ALWAYS,
        E.FAILED: S.HANDED_OVER,
        E.STUCK: S.HANDED_OVER,
        E.PUZZLED: S.HANDED_OVER,
        E.LEAVE: S.LEFT,
        E.RAN: S.HANDED_OVER,  # Running is not answering: the incident waits for the answer.
        E.MENDED: S.HANDED_OVER,
        E.ANSWERED: S.RUNNING,
        E.EVIDENCE_TAKEN: S.HANDED_OVER,
        E.GONE: S.HANDED_OVER,
        E.PROVE: S.PROVING,
    },
}

_NO_PROOF = "a proof is asked for only while proving"
_NO_START = "a start is due only while waiting"
_NO_INCIDENT = "only an incident asks for this"

IMPOSSIBLE: dict[tuple[VmState, VmEvent], str] = {
    **{(state, E.PROVEN): _NO_PROOF for state in S if state is not S.PROVING},
    **{(state, E.START): _NO_START for state in S if state is not S.WAITING},
    **{
        (state, event): _NO_INCIDENT
        for state in (S.UNKNOWN, S.RUNNING, S.STOPPED)
        for event in (E.EVIDENCE_TAKEN, E.PROVE)
    },
    (S.UNKNOWN, E.GONE): "nothing was seen of it that could go",
    (S.UNKNOWN, E.MENDED): "no fault of it is known",
    (S.UNKNOWN, E.ANSWERED): _NO_INCIDENT,
    (S.STOPPED, E.ANSWERED): _NO_INCIDENT,
    (S.ANSWERING, E.PROVE): "it runs: a new fault must come first",
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
