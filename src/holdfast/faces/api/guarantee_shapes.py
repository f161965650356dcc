"""What the loss of hosts would mean, as the API tells it."""

from msgspec import Struct


class Unplaced(Struct, frozen=True, kw_only=True):
    """A VM that would start nowhere, and why."""

    vm: str
    name: str
    reason: str


class Loss(Struct, frozen=True, kw_only=True):
    """The loss of these hosts at once: how many VMs would have to start elsewhere, and which of
    them could not. `inaction`: why Holdfast would start none, whatever room there is;
    `hindered`: why it could not act now, though it is to."""

    hosts: tuple[str, ...]
    names: tuple[str, ...]
    vms: int
    stays: tuple[Unplaced, ...] = ()
    inaction: str = ""
    hindered: str = ""


class Guarantee(Struct, frozen=True, kw_only=True):
    """`target`: how many hosts lost at once should be absorbed; `tolerable`: how many would be,
    of the `acting` ones, on which Holdfast acts. `would_leave` says of the first losses which VMs
    they would leave down, and why; of `more` it does not. `hindered`: of each acting host on which
    Holdfast could not act now, why."""

    target: int
    tolerable: int
    acting: int
    hosts: int
    is_kept: bool
    would_leave: tuple[str, ...] = ()
    more: int = 0
    hindered: tuple[str, ...] = ()


class GuaranteeShown(Guarantee, frozen=True, kw_only=True):
    """`together`: so many hosts are lost at once in each of `losses`; `untried` are beside them.
    `brake`: of more hosts that are silent at once a person decides."""

    together: int = 1
    utc_ms: int = 0
    brake: int = 1
    untried: int = 0
    losses: tuple[Loss, ...] = ()
