"""Fencing: how a host's power is switched off, what was intended, and what came of it."""

from enum import StrEnum

from msgspec import Struct

from holdfast.facts.tenure import DeathProof


class HostMode(StrEnum):
    """What Holdfast does about a host that is silent, beside reporting it."""

    REPORT = "report"  # Nothing: a person acts.
    ACT = "act"  # It is fenced, and its VMs start elsewhere.


class FenceDevice(Struct, frozen=True, kw_only=True):
    """One way to switch a host off: a fence agent of ClusterLabs, and what it must be told.

    `options` and `secrets` go by the names of the agent's own metadata; both reach it on standard
    input, and secrets are shown to nobody.
    """

    agent: str
    options: dict[str, str] = {}
    secrets: dict[str, str] = {}
    deadline_s: int = 40


class HostFencing(Struct, frozen=True, kw_only=True):
    """What the store says of one host: whether Holdfast acts on it, and its ladder of devices.

    The first device is tried first, the next one when it failed.
    """

    host: str
    mode: HostMode = HostMode.REPORT
    devices: tuple[FenceDevice, ...] = ()
    set_by: str = ""
    set_utc_ms: int = 0


class FenceStep(StrEnum):
    INTENDED = "intended"  # Committed: from here the host is switched off, whatever is heard.
    OFF = "off"  # Proven: its VMs may start elsewhere.
    CLOSED = "closed"  # The host is back, with nothing left that is not its own.


class Fence(Struct, frozen=True, kw_only=True):
    """The fence of a host that is open, or was last: the store keeps one per host.

    `boot` is the newest boot that was known when it was intended, `earlier` those before it that
    still hold a VM: the proof covers all of them, and none that begins later. `by` is the person
    who gave the proof, or empty; `term` that of the leader who wrote it.
    """

    host: str
    name: str
    boot: str
    earlier: tuple[str, ...] = ()
    incident: str
    number: int
    term: int
    step: FenceStep
    reason: str
    proof: DeathProof | None = None
    by: str = ""
    doubt: str = ""  # Why its proof is not believed: only a person can go on.
    intended_utc_ms: int = 0
    proven_utc_ms: int = 0
