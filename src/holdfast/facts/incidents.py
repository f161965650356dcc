"""An incident: one thing that went wrong with a VM, or with a host, from the fault to its end."""

from enum import StrEnum

from msgspec import Struct

from holdfast.facts.instants import Instant
from holdfast.facts.promises import Owner
from holdfast.facts.subjects import Incarnation, Subject


class IncidentState(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


class Incident(Struct, frozen=True, kw_only=True):
    """`id` is derived from the life that failed and a counter: `web-1-3f2a`.

    It is about a VM, or about a host: then `host` is its id, `name` its name, `vm` and `group`
    are empty, and `life` is none. Or about another `subject` of its host, as a process.

    `needs_you` is a command that a person should type, or empty: nothing to do.
    `recovered_ms` is from the fault to the answer; `level_ms` what the service level allows.
    """

    id: str
    name: str
    vm: str = ""
    host: str = ""
    subject: Subject | None = None
    life: Incarnation | None = None
    group: str = ""
    owner: Owner = Owner.NOBODY
    state: IncidentState
    title: str
    fault_at: Instant
    detected_at: Instant
    conditions: tuple[str, ...] = ()
    cause: str = ""
    step: str = ""
    closed_at: Instant | None = None
    recovered_ms: float | None = None
    level_ms: int | None = None
    verified: bool = False
    bundle: str = ""
    needs_you: str = ""
    fault_utc_ms: int = 0  # For people; filled in by the programs, never by policy.
