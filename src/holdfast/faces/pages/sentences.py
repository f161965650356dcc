"""Every fact of the journal as a sentence that a night-shift operator understands."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from holdfast.faces.pages.acting_sentences import ACTING
from holdfast.faces.pages.mending_sentences import MENDING
from holdfast.faces.pages.moving_sentences import MOVING
from holdfast.faces.pages.site_sentences import SITE
from holdfast.faces.pages.tables import counted, ended
from holdfast.facts import actions as act
from holdfast.facts import commands as told
from holdfast.facts import mending
from holdfast.facts import outcomes as came
from holdfast.facts import verdicts as judged
from holdfast.facts.alarms import Alarm, AlarmState
from holdfast.facts.hearing import Hearing
from holdfast.facts.incidents import IncidentState
from holdfast.facts.instants import spoken
from holdfast.facts.promises import AnswerKind
from holdfast.facts.site import SiteFact
from holdfast.facts.tenure import TenureState
from holdfast.facts.verdicts import Certainty
from holdfast.ports.journal import Gap

Fact = (
    judged.Verdict | came.Outcome | told.Command | told.Wake | act.Action | Hearing | SiteFact | Gap
)  # What a line of the journal can hold, snapshots apart.


def sentence(fact: Struct, name: str) -> str:
    """`name` is that of the VM, or the host, whose story is told. What is not known is shown."""
    say = _SAY.get(type(fact))
    return say(fact, name) if say is not None else f"(nobody has words for {type(fact).__name__})"


def known_facts() -> set[type]:
    return set(_SAY)


def _raised(fact: judged.FaultRaised, _name: str) -> str:
    unsure = {
        Certainty.CERTAIN: "",
        Certainty.SUSPECTED: " That is suspected, not certain.",
        Certainty.PREDICTED: " That is predicted: it has not happened yet.",
    }[fact.certainty]
    cause = f" Cause: {fact.cause}." if fact.cause and fact.cause not in fact.reason else ""
    return f"{ended(fact.reason)}{cause}{unsure}"


def _cleared(fact: judged.FaultCleared, _name: str) -> str:
    if fact.was_wrong:
        return f"Retracted, there was no fault: {ended(fact.reason)}"
    return f"The fault is over: {ended(fact.reason)}"


def _stop_wanted(fact: judged.StopWanted, name: str) -> str:
    if fact.moved_away:
        return f"{name} was moved to another host: {ended(fact.reason)}"
    return f"{name} was stopped on purpose ({fact.how}): {ended(fact.reason)}"


def _ran(fact: judged.VmRan, name: str) -> str:
    if fact.found:
        return f"{name} was found running (process {fact.life.pid})."
    return f"{name} runs as process {fact.life.pid}."


def _process_ended(fact: judged.VmProcessEnded, name: str) -> str:
    return f"The kernel has let go of {name}'s process {fact.life.pid}: its memory is free."


def _gone_proven(fact: came.GoneProven, name: str) -> str:
    shown = f": {', '.join(fact.proof.shown)}" if fact.proof.shown else ""
    wanted = f" But somebody wanted that: {fact.wanted}." if fact.wanted else ""
    return f"Nothing of {name} is left on this host{shown}.{wanted}"


def _captured(fact: came.LastWordsCaptured, name: str) -> str:
    cause = f" Cause: {fact.cause}." if fact.cause else ""
    count = len(fact.missing)
    missing = f" {count} {'part' if count == 1 else 'parts'} could not be had." if count else ""
    return f"The last words of {name} are kept as {fact.bundle}.{cause}{missing}"


def _vm_answered(fact: came.VmAnswered, name: str) -> str:
    if fact.verified:
        return f"{name} answers: {ended(fact.how)}"
    return f"{name} runs ({fact.how}); whether it serves could not be verified."


def _start_failed(fact: came.StartFailed, name: str) -> str:
    final = " Trying again cannot help." if fact.is_final else ""
    return f"{name} could not be started: {ended(fact.reason)}{final}"


def _granted(fact: told.ProtectionGranted, _name: str) -> str:
    kept = fact.protection
    return f"{kept.name} is protected in group {kept.group}; {fact.by} said so."


def _ordered(fact: told.StartOrdered, _name: str) -> str:
    kept = fact.protection
    generation = kept.tenure.generation
    return (
        f"The leader gave {kept.name} to this host (generation {generation}): its host {fact.was}"
        " is proven dead."
    )


def _outranked(fact: told.CopyOutranked, name: str) -> str:
    if fact.holder:
        return f"{fact.holder} holds {name} by now: nothing of it may be left on this host."
    return f"The leader takes {name} back: nothing of it may be left on this host."


def _disarmed(fact: told.Disarmed, _name: str) -> str:
    return f"{fact.disarm.owner} switched recovery off: {ended(fact.disarm.reason)}"


def _booted(fact: told.Booted, _name: str) -> str:
    amnesia = (
        " Its memory was lost: it starts nothing until it is told again what it may run."
        if fact.is_amnesiac
        else ""
    )
    return f"The agent on {fact.host_name} started.{amnesia}"


def _report(fact: act.Report, _name: str) -> str:
    alarm = fact.alarm
    if alarm.state is AlarmState.CLEARED:
        return f"Telling the VIM that {alarm.condition} is cleared: {ended(alarm.text)}"
    repair = ended(alarm.repair) if mending.REPAIR in alarm.details else ""
    if repair and alarm.state is AlarmState.CHANGED:
        return f"Telling the VIM more of {alarm.subject.name}: {repair}"
    verb = "Reporting to the VIM" if alarm.state is AlarmState.RAISED else "Telling the VIM more"
    said = f"{verb}: {alarm.text} ({alarm.severity}, {_sure(alarm)}{alarm.condition})."
    return f"{said} It says: {repair}" if repair else said


def _sure(alarm: Alarm) -> str:
    return "" if alarm.certainty is Certainty.CERTAIN else f"{alarm.certainty}, "


def _tell_tenure(fact: act.TellTenure, name: str) -> str:
    tenure = fact.tenure
    state = "" if tenure.state is TenureState.HELD else f" and is {tenure.state}"
    return f"{name} is wanted {tenure.wanted} from now on{state}: {ended(fact.reason)}"


def _tell_incident(fact: act.TellIncident, name: str) -> str:
    incident = fact.incident
    if incident.state is IncidentState.OPEN:
        is_of_vm = not incident.host and incident.subject is None
        joint = " " if is_of_vm else ": "  # What is done about a host is a clause of its own.
        return ended(f"{name}{joint}{incident.step}" if incident.step else incident.title)
    if incident.recovered_ms is None:
        return ended(f"The incident is closed: {incident.step or incident.title}")
    level = incident.level_ms
    kept = ""
    if level is not None:
        is_kept = incident.recovered_ms <= level
        kept = f", {'within' if is_kept else 'longer than'} the {spoken(level)} of its group"
    return f"The incident is closed: out of service for {spoken(incident.recovered_ms)}{kept}."


def _capture(fact: act.CaptureLastWords, name: str) -> str:
    extras = [
        word
        for word, is_on in (("a screenshot", fact.screenshot), ("a memory dump", fact.dump))
        if is_on
    ]
    with_extras = f", with {' and '.join(extras)}" if extras else ""
    return f"Keeping the last words of {name}{with_extras} (at most {spoken(fact.budget_ms)})."


def _restart(fact: act.RestartHere, name: str) -> str:
    ran_elsewhere = fact.proof.incarnation.rpartition("/")[2].startswith("0.")  # Of no pid here.
    how = "here" if ran_elsewhere else "again in place"
    return f"Starting {name} {how} (attempt {fact.attempt}): {ended(fact.reason)}"


def _await_answer(fact: act.AwaitAnswer, name: str) -> str:
    how = {
        AnswerKind.AGENT: "its guest agent to answer",
        AnswerKind.TCP: f"TCP port {fact.answer.value} to answer",
        AnswerKind.CONSOLE: f"{fact.answer.value!r} on its console",
        AnswerKind.RUNNING: f"it to run for {fact.answer.value} s",
        AnswerKind.DEFAULT: "its guest agent to answer, if it has one",
    }[fact.answer.kind]
    return f"Waiting for {name}: for {how}, at most {spoken(fact.limit_ms)}."


_SAY: dict[type, Callable[[Any, str], str]] = {
    judged.FaultRaised: _raised,
    judged.FaultCleared: _cleared,
    judged.StopWanted: _stop_wanted,
    judged.VmRan: _ran,
    judged.VmProcessEnded: _process_ended,
    came.GoneProven: _gone_proven,
    came.GoneNotProven: lambda f, n: f"Something of {n} is still there: {ended(f.reason)}",
    came.VmEnded: lambda _, n: f"What was left of {n} has been ended.",
    came.VmNotEnded: lambda f, n: f"{n} could not be ended: {ended(f.reason)}",
    came.VmStarted: lambda f, n: f"libvirt started {n} (process {f.life.pid}).",
    came.StartFailed: _start_failed,
    came.StartUnknown: lambda f, n: f"Whether {n} starts is not known yet: {ended(f.reason)}",
    came.VmAnswered: _vm_answered,
    came.AnswerOverdue: lambda f, n: f"{n} has not answered in time: {ended(f.reason)}",
    came.LastWordsCaptured: _captured,
    came.LastWordsFailed: lambda f, n: f"The last words of {n} are lost: {ended(f.reason)}",
    told.ProtectionGranted: _granted,
    told.ProtectionEnded: lambda f, n: f"{f.by} took protection from {n}.",
    told.GroupSet: lambda f, _: f"The settings of group {f.group.name} were set.",
    told.GroupForgotten: lambda f, _: f"Group {f.name} was removed.",
    told.Disarmed: _disarmed,
    told.Armed: lambda f, _: f"{f.by} switched recovery on again.",
    told.RecoveryAsked: lambda f, n: f"{f.by} asked to try {n} again.",
    told.StartOrdered: _ordered,
    told.StartRefused: lambda f, n: f"{n} will not be started here: {ended(f.reason)}",
    told.CopyOutranked: _outranked,
    told.LeaseOrdered: lambda f, _: (
        f"Relying on the lease of this host from now on: {counted(len(f.vms), 'VM')}."
        if f.vms
        else "No VM relies on the lease of this host any more."
    ),
    told.LeaseRanOut: lambda _f, _n: (
        "No controller granted the lease of this host in time: what relies on it is ended."
    ),
    told.LeaseHolds: lambda _f, _n: "The lease of this host was granted again.",
    told.IncidentSettled: lambda f, _: f"{f.by} says that this is dealt with.",
    told.Woke: lambda _f, _n: "A deadline came.",
    told.Restarted: lambda _f, _n: "The agent came back; what was under way is done again.",
    told.Booted: _booted,
    act.Report: _report,
    act.TellTenure: _tell_tenure,
    act.TellIncident: _tell_incident,
    act.CaptureLastWords: _capture,
    act.ProveGone: lambda _, n: f"Looking whether anything of {n} is left on this host.",
    act.EndVm: lambda f, _: f"Ending it: {ended(f.reason)}",
    act.RestartHere: _restart,
    act.AwaitAnswer: _await_answer,
    **ACTING,
    **MENDING,
    **MOVING,
    **SITE,
    Gap: lambda f, _: f"Here {f.lost} lines of the journal are missing: {ended(f.reason)}",
}
