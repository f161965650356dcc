"""What controllers hear of hosts, and tell each other of them, as sentences."""

from collections.abc import Callable
from typing import Any

from holdfast.faces.pages.tables import counted
from holdfast.facts import hearing as heard
from holdfast.facts import site as told
from holdfast.facts import verdicts as judged
from holdfast.facts.actions import AskWitnesses
from holdfast.facts.alarms import AlarmState
from holdfast.facts.hearing import Plan, Sign, WitnessKind
from holdfast.facts.instants import elapsed_ms, spoken

_SIGNS = {
    Sign.PULSE: "it answers",
    Sign.KERNEL: "only its kernel answers",
    Sign.NOTHING: "nothing answers",
    Sign.UNKNOWN: "who was asked did not answer in time",
}
_HEARS = {
    Sign.PULSE: "hears it",
    Sign.KERNEL: "does not hear it, and its kernel answers",
    Sign.NOTHING: "does not hear it either",
    # It was not reached in time, or has never heard that host.
    Sign.UNKNOWN: "did not say whether it hears it",
}
_PLANS = {
    Plan.NONE: "",
    Plan.PULSE_RESTARTS: " Its pulse restarts, on purpose.",
    Plan.HOST_STOPS: " It is being stopped, on purpose.",
}


def _silent(fact: heard.PlaneSilent, name: str) -> str:
    took = spoken(elapsed_ms(fact.last_heard, fact.at))
    return f"No pulse of {name} on plane {fact.plane} for {took}: {fact.missed} are missing."


def _said(fact: heard.PulseSaid, name: str) -> str:
    layers = ", ".join(f"{layer} {state}" for layer, state in fact.layers.items())
    return f"{name} says of itself: {layers or 'nothing'}.{_PLANS[fact.plan]}"


def _link(fact: heard.LinkChanged, name: str) -> str:
    if fact.is_up:
        return f"The agent of {name} is linked."
    return f"The link of the agent of {name} broke off."


def _spoke(fact: heard.WitnessSpoke, name: str) -> str:
    plane = f" on plane {fact.plane}" if fact.plane else ""
    sign = _SIGNS[fact.sign]
    match fact.kind:
        case WitnessKind.PROBE:
            return f"{name} was asked{plane}: {sign}."
        case WitnessKind.AGENT if fact.witness == fact.host:
            return f"The agent of {name} was asked on its link: {sign}."
        case WitnessKind.AGENT:
            return f"Host {fact.witness} asked {name}{plane}: {sign}."
        case WitnessKind.CONTROLLER:
            return f"Controller {fact.witness} {_HEARS[fact.sign]}."


def _crossed(fact: heard.BootsCrossed, name: str) -> str:
    where = " and ".join(sender for sender in fact.senders if sender)
    return f"Two boots pulse as {name}" + (f", from {where}." if where else ".")


def _refused(fact: heard.PulsesRefused, name: str) -> str:
    return f"Pulses in the name of {name} were refused ({fact.count}): {fact.reason}."


def _lead(fact: told.LeadChanged, _name: str) -> str:
    if fact.term:
        return f"This controller leads now, in term {fact.term}."
    return "This controller does not lead any more."


def _shared(fact: told.AlarmShared, _name: str) -> str:
    verb = "cleared" if fact.alarm.state is AlarmState.CLEARED else "reported"
    return f"The controller on {fact.alarm.host} has {verb}: {fact.alarm.text}."


def _vms(fact: told.VmsSet, name: str) -> str:
    run = "run" if len(fact.vms) != 1 else "runs"
    return f"Of {name} it is told that {counted(len(fact.vms), 'VM')} {run} there."


Say = Callable[[Any, str], str]

SITE: dict[type, Say] = {
    heard.HostExpected: lambda f, _: f"{f.name} is expected to pulse.",
    heard.HostForgotten: lambda _, n: f"{n} is not expected any more.",
    heard.PlaneHeard: lambda f, n: f"{n} is heard on plane {f.plane}, in boot {f.boot}.",
    heard.PlaneSilent: _silent,
    heard.PulseSaid: _said,
    heard.PulsesRefused: _refused,
    heard.BootsCrossed: _crossed,
    heard.DumpSeen: lambda _f, n: f"The crash kernel of {n} said that it writes a dump.",
    heard.LastGasp: lambda f, n: f"The kernel of {n} said its last: {f.text}.",
    heard.LinkChanged: _link,
    heard.EarDoubted: lambda f, _: f"This controller doubts its own ears: {f.reason}.",
    heard.EarTrusted: lambda _f, _n: "This controller trusts its ears again.",
    heard.EarBegan: lambda _f, _n: "This controller listens, and has heard nobody yet.",
    heard.WitnessSpoke: _spoke,
    told.SiteBegan: lambda f, _: f"The controller on {f.controller} began.",
    told.HostSet: lambda f, _: f"{f.name} belongs to the site.",
    told.HostLeft: lambda _, n: f"{n} left the site.",
    told.VmsSet: _vms,
    told.LeadChanged: _lead,
    told.AlarmShared: _shared,
    judged.HostHeard: lambda f, _: f"{f.subject.name} lives: its pulses arrive.",
    AskWitnesses: lambda _, n: f"Asking {n} itself, other hosts and other controllers.",
}
