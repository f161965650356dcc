"""The start of a VM on another host: one record in the store, committed before each dangerous act.

A time-out is no answer: another target needs the first one's word that it holds nothing, or a
proof about it.
"""

from enum import StrEnum

from msgspec import Struct

from holdfast.facts.definitions import RebuiltDisk
from holdfast.facts.tenure import DeathProof


class RecoveryStep(StrEnum):
    PLACED = "placed"  # The target holds the VM's tenure, and is told to start it.
    STARTED = "started"  # It runs there.
    ANSWERED = "answered"  # The guest answers as promised: it is over.
    GIVEN_BACK = "given back"  # The target holds nothing of it: another one may be chosen.


class Recovery(Struct, frozen=True, kw_only=True):
    """`generation` is the tenure's that the target holds; `attempt` counts targets from 1.

    `proof` covers the tenure of `source` that it replaces. `fault_utc_ms` is when the host died.
    `rebuilds` are disks that were on it alone: the target makes them anew.
    """

    vm: str
    name: str
    generation: int
    incident: str
    source: str
    target: str
    target_boot: str
    proof: DeathProof
    term: int
    step: RecoveryStep
    attempt: int = 1
    reason: str = ""  # Why it was given back, or what placement said.
    rejected: tuple[str, ...] = ()  # Why each other host was not taken, the first few.
    fault_utc_ms: int = 0
    rebuilds: tuple[RebuiltDisk, ...] = ()
