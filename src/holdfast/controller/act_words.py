"""What a leader did about hosts and their VMs, as clauses that are compared and shown."""

from collections.abc import Callable

from holdfast.facts import actions as act
from holdfast.facts.actions import Action
from holdfast.facts.fencing import FenceStep
from holdfast.facts.incidents import Incident
from holdfast.facts.recoveries import RecoveryStep

Name = Callable[[str], str]
OFF = "switch off "


def act_words(incident: Incident, action: Action, name: Name) -> str:
    """What is done, as a clause; empty for what is no act upon hosts or VMs."""
    match action:
        case act.PutFence():
            return _fence_text(action)
        case act.SwitchOff():
            return f"{OFF}{action.fence.name}"
        case act.PutRecovery() if action.recovery.step is RecoveryStep.PLACED:
            return f"place {action.recovery.name} on {name(action.recovery.target)}"
        case act.PutRecovery():
            one = action.recovery
            words = {
                RecoveryStep.STARTED: "runs on",
                RecoveryStep.ANSWERED: "answers on",
                RecoveryStep.GIVEN_BACK: "was given back by",
            }
            return f"note that {one.name} {words.get(one.step, '')} {name(one.target)}"
        case act.RestartElsewhere():
            return f"tell {name(action.recovery.target)} to start {action.recovery.name}"
        case act.TakeBack():
            return f"ask {name(action.recovery.target)} to give {action.recovery.name} back"
        case act.TellIncident() if action.incident.id == incident.id:
            step = action.incident.step
            return f"say that it {step}" if step.startswith("is not ") else ""
        case _:
            return ""


def _fence_text(action: act.PutFence) -> str:
    fence = action.fence
    if fence.doubt:
        return f"note that {fence.name} is not proven dead"
    return {
        FenceStep.INTENDED: f"commit that {fence.name} is switched off",
        FenceStep.OFF: f"commit that {fence.name} is dead",
        FenceStep.CLOSED: f"commit that {fence.name} is back",
    }[fence.step]
