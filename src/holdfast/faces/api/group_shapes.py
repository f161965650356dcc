"""What routes about groups of VMs take and give, as types."""

from msgspec import Struct

from holdfast.faces.api.shapes import Request, Told
from holdfast.facts.promises import Admission, Group, LocalDisk, Owner, Spread, Zones
from holdfast.facts.wire import VmSummary


class SetGroup(Request, frozen=True, kw_only=True):
    name: str
    owner: Owner | None = None
    level: int | None = None
    restarts: int | None = None
    restarts_window_s: int | None = None
    dump: bool | None = None
    priority: int | None = None
    spread: Spread | None = None
    zones: Zones | None = None
    admit: Admission | None = None
    lease: bool | None = None
    local_disk: LocalDisk | None = None
    images: dict[str, str] | None = None
    template: str | None = None
    count: int | None = None
    remove: tuple[str, ...] = ()


class MadeShown(Struct, frozen=True, kw_only=True):
    """A VM that Holdfast made; `step`: placed, runs, taken back or leaving."""

    vm: str
    name: str
    step: str
    reason: str = ""


class TemplateShown(Struct, frozen=True, kw_only=True):
    """Of a group whose VMs Holdfast makes: how many are promised and in service, and `why` not."""

    count: int
    in_service: int
    why: str = ""
    images: dict[str, str] = {}
    made: tuple[MadeShown, ...] = ()


class GroupChanged(Told, frozen=True, kw_only=True):
    group: Group
    template: TemplateShown | None = None


class GroupShown(Struct, frozen=True, kw_only=True):
    group: Group
    vms: tuple[VmSummary, ...] = ()
    template: TemplateShown | None = None
