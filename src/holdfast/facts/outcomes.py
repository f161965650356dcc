"""What came of an action. Policy hears of each exactly once, through the journal."""

from msgspec import Struct

from holdfast.facts.instants import Instant
from holdfast.facts.migrations import End
from holdfast.facts.subjects import Incarnation
from holdfast.facts.tenure import DeathProof, LocalProof


class Done(Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    incident: str
    at: Instant


class GoneProven(Done, frozen=True, kw_only=True):
    """`wanted` is libvirt's word where it says that somebody wanted this end, else empty."""

    proof: LocalProof
    wanted: str = ""


class GoneNotProven(Done, frozen=True, kw_only=True):
    """Something of the VM is still there; `reason` names the first thing found."""

    reason: str


class VmEnded(Done, frozen=True, kw_only=True):
    """What was left of a failed VM (panicked, stuck) was ended so that it can start again."""

    life: Incarnation


class VmNotEnded(Done, frozen=True, kw_only=True):
    reason: str


class VmStarted(Done, frozen=True, kw_only=True):
    """libvirt started it; `life` is what now runs. A repeat finds it running: also this."""

    life: Incarnation


class StartFailed(Done, frozen=True, kw_only=True):
    """`is_final` when a repeat cannot help (the definition is gone, tenure refuses)."""

    reason: str
    is_final: bool = False


class StartUnknown(Done, frozen=True, kw_only=True):
    """libvirt did not say in time whether it starts it: it may, at any moment. Look again."""

    reason: str


class VmAnswered(Done, frozen=True, kw_only=True):
    """`how` says what answered; `verified` is false when running was all that could be seen."""

    life: Incarnation
    how: str
    verified: bool


class AnswerOverdue(Done, frozen=True, kw_only=True):
    life: Incarnation
    reason: str


class LastWordsCaptured(Done, frozen=True, kw_only=True):
    bundle: str
    cause: str = ""
    missing: tuple[str, ...] = ()


class LastWordsFailed(Done, frozen=True, kw_only=True):
    reason: str


class SwitchedOff(Done, frozen=True, kw_only=True):
    """A host's power was read back off: the proof covers what the fence named."""

    host: str
    number: int
    proof: DeathProof


class NotSwitchedOff(Done, frozen=True, kw_only=True):
    """No device of the host's ladder could do it; `reason` says what each one said."""

    host: str
    number: int
    reason: str


class StartTaken(Done, frozen=True, kw_only=True):
    """The target holds the VM durably, and starts it: its list of VMs shows what comes of that."""

    vm: str
    generation: int


class GivenBack(Done, frozen=True, kw_only=True):
    """The target of a recovery says that it holds nothing of the VM: it refused, or took it back.

    Its word is durable at the target before it is said.
    """

    vm: str
    generation: int
    reason: str


class TargetSilent(Done, frozen=True, kw_only=True):
    """The target did not answer: it may have started the VM, or may yet."""

    vm: str
    generation: int
    reason: str


class MoveBegun(Done, frozen=True, kw_only=True):
    """Both ends were told of a migration; `refusal` is why one of them does not take part, or
    empty. Neither says what becomes of the VM."""

    vm: str
    number: int
    refusal: str = ""


class EndsLooked(Done, frozen=True, kw_only=True):
    """What each end has of a VM that moves. `reason` is why its move failed, where it did."""

    vm: str
    number: int
    source: End
    target: End
    reason: str = ""
    pause_ms: int | None = None


class StepDone(Done, frozen=True, kw_only=True):
    """A step of a repair ladder says that it was done, and what it did: nothing is proven yet."""

    key: str
    number: int
    said: str = ""


class StepFailed(Done, frozen=True, kw_only=True):
    """`overran`: it was ended after its limit."""

    key: str
    number: int
    reason: str
    overran: bool = False


Outcome = (
    GoneProven
    | GoneNotProven
    | VmEnded
    | VmNotEnded
    | VmStarted
    | StartFailed
    | StartUnknown
    | VmAnswered
    | AnswerOverdue
    | LastWordsCaptured
    | LastWordsFailed
    | StepDone
    | StepFailed
)

SiteOutcome = (
    SwitchedOff | NotSwitchedOff | StartTaken | GivenBack | TargetSilent | MoveBegun | EndsLooked
)
