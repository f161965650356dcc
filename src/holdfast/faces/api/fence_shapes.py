"""What routes about fencing take and give, as types."""

from msgspec import Struct, field

from holdfast.faces.api.shapes import Request
from holdfast.facts.fencing import Fence, HostMode


class SetFence(Request, frozen=True, kw_only=True):
    """A fence device at a place of a host's ladder, by default the first. `options` and `secrets`
    go by the names of the agent's own metadata; secrets are told to nobody again."""

    host: str
    agent: str
    options: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    deadline_s: int = 40
    level: int = 1


class ClearFence(Request, frozen=True, kw_only=True):
    """`level`: the place of one device; 0: all of them."""

    host: str
    level: int = 0


class SetMode(Request, frozen=True, kw_only=True):
    """`dump_wait_s`: a host whose kernel panicked is left alone for so long, to write its crash
    dump; left out: as it was."""

    host: str
    mode: HostMode
    dump_wait_s: int | None = None


class ConfirmDead(Request, frozen=True, kw_only=True):
    """`confirmed`: the host's name once more, when a person is sure that it is dead; `because`:
    how they know. Without `confirmed` nothing is done, and what is known of its life is told."""

    host: str
    confirmed: str = ""
    because: str = ""


class FenceDeviceShown(Struct, frozen=True, kw_only=True):
    """`secrets` are names. `said`: what it answered at the newest rehearsal, and `is_well` whether
    it worked then; null: it was not rehearsed."""

    agent: str
    options: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    deadline_s: int = 40
    said: str = ""
    is_well: bool | None = None


class HostFenced(Struct, frozen=True, kw_only=True):
    """`mode` act: it is fenced when it dies, and its VMs start elsewhere; report: nothing is done.
    `is_fenceable`: a device worked at a rehearsal of the last two days; else `why_not`. `was` and
    `warning` come only with a change."""

    host: str
    host_name: str
    mode: HostMode
    dump_wait_s: int = 0
    devices: tuple[FenceDeviceShown, ...] = ()
    rehearsed_utc_ms: int = 0
    is_fenceable: bool = False
    why_not: str = ""
    set_by: str = ""
    set_utc_ms: int = 0
    was: str = ""
    warning: str = ""


class Rehearsed(Struct, frozen=True, kw_only=True):
    """`under_way`: names of hosts whose devices still did not answer; ask for the list later."""

    hosts: tuple[HostFenced, ...] = ()
    under_way: tuple[str, ...] = ()


class VmOfTheDead(Struct, frozen=True, kw_only=True):
    """`stays`: why it would start nowhere; empty: it starts on another host."""

    vm: str
    name: str
    stays: str = ""


class ConfirmedDead(Struct, frozen=True, kw_only=True):
    """`lives`: signs of life, while which nobody may say that it is dead. `signs`: all that was
    found. `hindered`: why nothing would start elsewhere for now. With a confirmation: `fence` is
    what the store has, and `power` what became of a power-off that was under way."""

    host: str
    host_name: str
    lives: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()
    vms: tuple[VmOfTheDead, ...] = ()
    hindered: str = ""
    power: str = ""
    fence: Fence | None = None
