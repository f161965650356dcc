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

    def __repr__(self) -> str:
        """Secrets stay out of logs and of errors."""
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        named = f" and {', '.join(self.secrets)}" if self.secrets else ""
        return f"{type(self).__name__}({self.agent} with {options}{named})"


class HostFencing(Struct, frozen=True, kw_only=True):
    """What the store says of one host: whether Holdfast acts on it, and its ladder of devices.

    The first device is tried first, the next one when it failed. `dump_wait_s` is how long a host
    whose kernel panicked is left alone, to write its crash dump.
    """

    host: str
    mode: HostMode = HostMode.REPORT
    dump_wait_s: int = 0
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
    who gave the proof, or empty; `term` that of the leader who wrote it. With `is_lease` no power
    is switched: its host has no device, and what relies on its lease ends by itself. Until that is
    proven, a host that is heard again keeps its VMs.
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
    is_lease: bool = False
    doubt: str = ""  # Why its proof is not believed: only a person can go on.

    intended_utc_ms: int = 0
    proven_utc_ms: int = 0

    @property
    def is_switching(self) -> bool:
        """Whether its devices are in use. In doubt nothing is switched any more."""
        return self.step is FenceStep.INTENDED and not self.doubt


class DeviceTried(Struct, frozen=True, kw_only=True):
    """What a device said when it was asked for a host's power. Nothing was switched.

    `said` is on or off, or a sentence that says why it does not work.
    """

    agent: str
    is_well: bool
    said: str


class Rehearsal(Struct, frozen=True, kw_only=True):
    """The newest rehearsal of a host's ladder, kept in the store: of each device what it said.

    It ends with the ladder that it is of. `by` is the person who asked for it, or empty.
    """

    host: str
    devices: tuple[DeviceTried, ...]
    utc_ms: int
    by: str = ""

    @property
    def is_well(self) -> bool:
        """Whether at least one device worked."""
        return any(one.is_well for one in self.devices)
