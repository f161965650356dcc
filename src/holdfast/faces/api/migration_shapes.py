"""What routes about VMs that move take and give, as types."""

from msgspec import Struct

from holdfast.faces.api.shapes import Request


class MoveVm(Request, frozen=True, kw_only=True):
    """`to`: a host; empty: the one with the most room. It is called off after `timeout_s`."""

    vm: str
    to: str = ""
    timeout_s: int = 300


class DrainHost(Request, frozen=True, kw_only=True):
    """`timeout_s` is for each VM."""

    host: str
    timeout_s: int = 300


class PredictHost(Request, frozen=True, kw_only=True):
    """`reason`: what makes one expect that it fails, in a few words."""

    host: str
    reason: str


class Moved(Struct, frozen=True, kw_only=True):
    """A move of a VM, under way or over. `step`: begun, done, undone or in doubt; `reason`: what
    both ends said. `pause_ms`: for how long its guest stood still."""

    vm: str
    name: str
    number: int
    source: str
    target: str
    step: str
    is_over: bool
    is_cancelled: bool = False
    reason: str = ""
    by: str = ""
    percent: int = 0
    left_bytes: int = 0
    total_bytes: int = 0
    pause_ms: int | None = None
    begun_utc_ms: int = 0
    ended_utc_ms: int = 0


class LeavingVm(Struct, frozen=True, kw_only=True):
    """A VM that still runs on a host. `stays`: why it does not move now; empty: it moves, or its
    turn comes."""

    vm: str
    name: str
    stays: str = ""
    moves: Moved | None = None


class Drained(Struct, frozen=True, kw_only=True):
    """A host in maintenance, or not, and what still runs there."""

    host: str
    host_name: str
    is_drained: bool
    vms: tuple[LeavingVm, ...] = ()
    was_drained: bool = False


class Predicted(Struct, frozen=True, kw_only=True):
    """A host that is expected to fail, or not, and what still runs there. `kept`: why its VMs do
    not move away by themselves; empty: they do."""

    host: str
    host_name: str
    is_predicted: bool
    reason: str = ""
    by: str = ""
    since_utc_ms: int = 0
    kept: str = ""
    vms: tuple[LeavingVm, ...] = ()
    was_predicted: bool = False
