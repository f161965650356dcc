"""What to do. An action is a request to an executor, never a call; each has one seat.

Ids are derived from inputs, so that a replay of the journal gives the same actions to the letter.
"""

from enum import StrEnum

from msgspec import Struct

from holdfast.facts.alarms import Alarm
from holdfast.facts.definitions import Rebuild
from holdfast.facts.fencing import Fence
from holdfast.facts.incidents import Incident
from holdfast.facts.instants import Instant
from holdfast.facts.mending import RepairStep
from holdfast.facts.migrations import Migration
from holdfast.facts.promises import Answer
from holdfast.facts.recoveries import Recovery
from holdfast.facts.subjects import Incarnation, Subject
from holdfast.facts.tenure import DeathProof, LocalProof, Tenure


class Act(Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    pass


class Report(Act, frozen=True, kw_only=True):
    """Tell the VIM. Stored before it is sent, repeated until the VIM answers. `is_repeat`: an
    agent before this one may have told it already."""

    alarm: Alarm
    is_repeat: bool = False


class TellTenure(Act, frozen=True, kw_only=True):
    """Wanted or state of a VM changed here: keep it, let the store know. Travels as alarms do."""

    tenure: Tenure
    reason: str


class TellIncident(Act, frozen=True, kw_only=True):
    """An incident opened, changed or closed. Travels as alarms do."""

    incident: Incident


class CaptureLastWords(Act, frozen=True, kw_only=True):
    """Keep the evidence, within a budget; recovery does not wait longer than that for it.

    `screenshot` and `dump` are only possible while QEMU still lives. `cause`, `title` and
    `fault_at` are of this life: an incident may be about several, and knows of the first.
    """

    incident: str
    life: Incarnation
    name: str
    screenshot: bool = False
    dump: bool = False
    budget_ms: int = 0
    cause: str = ""
    title: str = ""
    fault_at: Instant | None = None


class ProveGone(Act, frozen=True, kw_only=True):
    """Look whether anything of this VM is left on this host. `is_copy`: another host holds it by
    now and uses its disks, so that these say nothing of what is left here."""

    incident: str
    life: Incarnation
    name: str
    is_copy: bool = False


class EndVm(Act, frozen=True, kw_only=True):
    """End what is left of a VM that panicked or is stuck, so that it can start again.

    `is_forced`: its disks belong to another host by now, and QEMU must not write to them any more.
    """

    incident: str
    life: Incarnation
    name: str
    reason: str
    is_forced: bool = False


class RestartHere(Act, frozen=True, kw_only=True):
    """Start a VM in place. The proof says that the kernel saw it go, in this boot. `rebuild` are
    disks that are made anew first, unless they have been for this generation."""

    incident: str
    name: str
    tenure: Tenure
    proof: LocalProof
    attempt: int
    reason: str
    rebuild: Rebuild | None = None


class PutFence(Act, frozen=True, kw_only=True):
    """Commit a fence, or its next step, to the store. What the store took comes back as a fact."""

    fence: Fence


class SwitchOff(Act, frozen=True, kw_only=True):
    """Switch a host off, and read its power back. Only for a fence that is committed."""

    incident: str
    fence: Fence


class PutRecovery(Act, frozen=True, kw_only=True):
    """Commit the start of a VM elsewhere, or its next step, together with the VM's tenure."""

    recovery: Recovery


class RestartElsewhere(Act, frozen=True, kw_only=True):
    """Tell the target to start a VM whose recovery is committed. Repeats are harmless.

    After so many `tries` it gives up, since another host could take it; 0: none could.
    """

    incident: str
    recovery: Recovery
    proof: DeathProof
    tries: int = 0


class TakeBack(Act, frozen=True, kw_only=True):
    """Ask the target of a recovery that went wrong to prove the VM gone, and to hold it no more."""

    incident: str
    recovery: Recovery
    reason: str


class PutMigration(Act, frozen=True, kw_only=True):
    """Commit a migration, or its next step, to the store, together with the VM's tenure."""

    migration: Migration


class Migrate(Act, frozen=True, kw_only=True):
    """Tell both ends of a migration that is committed to move the VM. Only once: whoever took
    over from an earlier leader asks what came of it."""

    migration: Migration


class LookAtEnds(Act, frozen=True, kw_only=True):
    """Ask the ends what each has of the VM: first the source, and the target to be done with it
    once the source is. Of an end that is `dead` nothing is asked."""

    migration: Migration
    dead: tuple[str, ...] = ()


class TellEnds(Act, frozen=True, kw_only=True):
    """The store says how a migration ended: both ends shall know. Their greeting tells it, too."""

    migration: Migration


class AwaitAnswer(Act, frozen=True, kw_only=True):
    """Wait until the guest answers as promised, or the limit passes."""

    incident: str
    life: Incarnation
    name: str
    answer: Answer
    limit_ms: int


class AskWitnesses(Act, frozen=True, kw_only=True):
    """Ask the silent host itself, other hosts' agents and other controllers for a sign of life."""

    incident: str
    host: str
    boot: str


class TryRepair(Act, frozen=True, kw_only=True):
    """Try one step of a repair ladder, `limit_ms` at most. `number` tells it from all others of
    this fault. `evidence` is what the fault's detector told, such as the pid."""

    incident: str
    key: str
    number: int
    step: RepairStep
    subject: Subject
    evidence: dict[str, str]
    limit_ms: int


class LookAgain(Act, frozen=True, kw_only=True):
    """Look at this subject now: whether a repair helped is for its detector to say."""

    incident: str
    subject: Subject


Action = (
    Report
    | TellTenure
    | TellIncident
    | CaptureLastWords
    | ProveGone
    | EndVm
    | RestartHere
    | PutFence
    | SwitchOff
    | PutRecovery
    | RestartElsewhere
    | TakeBack
    | PutMigration
    | Migrate
    | LookAtEnds
    | TellEnds
    | AwaitAnswer
    | AskWitnesses
    | TryRepair
    | LookAgain
)


class Seat(StrEnum):
    """Who alone may carry out an action."""

    AGENT = "agent"
    LEADER = "leader"
    CONTROLLER = "controller"  # Each replica for itself: it only looks.
    OBSERVER = "observer"  # Whoever saw it, agent or controller: anyone may report.


SEATS: dict[type[Act], Seat] = {
    Report: Seat.OBSERVER,
    TellTenure: Seat.AGENT,
    TellIncident: Seat.OBSERVER,
    CaptureLastWords: Seat.AGENT,
    ProveGone: Seat.AGENT,
    EndVm: Seat.AGENT,
    RestartHere: Seat.AGENT,
    PutFence: Seat.LEADER,
    SwitchOff: Seat.LEADER,
    PutRecovery: Seat.LEADER,
    RestartElsewhere: Seat.LEADER,
    TakeBack: Seat.LEADER,
    PutMigration: Seat.LEADER,
    Migrate: Seat.LEADER,
    LookAtEnds: Seat.LEADER,
    TellEnds: Seat.LEADER,
    AwaitAnswer: Seat.AGENT,
    AskWitnesses: Seat.CONTROLLER,
    TryRepair: Seat.AGENT,
    LookAgain: Seat.AGENT,
}
