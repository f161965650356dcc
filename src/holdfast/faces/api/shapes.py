"""What routes take and give, as types; openapi.json and the pages of the API are made of them."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from holdfast.faces.api.guarantee_shapes import Guarantee, Loss
from holdfast.faces.api.vm_shapes import DefinedVm
from holdfast.facts.alarms import AlarmRecord
from holdfast.facts.definitions import HostRole
from holdfast.facts.events import Change, Event, EventGap
from holdfast.facts.fencing import FenceStep, HostMode
from holdfast.facts.incidents import Incident
from holdfast.facts.last_words import Bundle
from holdfast.facts.membership import Issued, SitePlan
from holdfast.facts.promises import Disarm, Group, Protection
from holdfast.facts.roles import Role
from holdfast.facts.tokens import TokenShown
from holdfast.facts.wire import HostPart, VmSummary

__all__ = [
    "AlarmRecord",
    "Disarm",
    "Event",
    "Group",
    "Incident",
    "Issued",
    "SitePlan",
    "TokenShown",
    "VmSummary",
]

Limit = Annotated[int, Meta(ge=1, le=1_000)]


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the path, the query or the body say; a name that is not known is refused."""


class Nothing(Request, frozen=True, kw_only=True):
    pass


class Anything(Struct, frozen=True, kw_only=True):
    """An object whose keys depend on what was asked."""


class OfHost(Request, frozen=True, kw_only=True):
    host: str


class OfVm(Request, frozen=True, kw_only=True):
    vm: str


class OfGroup(Request, frozen=True, kw_only=True):
    name: str


class OfIncident(Request, frozen=True, kw_only=True):
    incident: str


class SettleIncident(OfIncident, frozen=True, kw_only=True):
    leave_down: bool = False


class Losses(Request, frozen=True, kw_only=True):
    """How many hosts are lost at once."""

    hosts: Annotated[int, Meta(ge=1, le=2)] = 1


class LastWordsOf(Request, frozen=True, kw_only=True):
    vm: str
    incident: str = ""


class Protect(Request, frozen=True, kw_only=True):
    """`old_host_is_gone`: how somebody knows that the host which holds the VM can never run it
    again. It needs the role administer."""

    vm: str
    group: str = ""
    answer: str = ""
    old_host_is_gone: str = ""
    local_disk: str = ""
    images: dict[str, str] = {}


class WhichAlarms(Request, frozen=True, kw_only=True):
    include_cleared: bool = False


class Acknowledge(Request, frozen=True, kw_only=True):
    key: str


class Disarming(Request, frozen=True, kw_only=True):
    reason: str
    seconds: float = 3_600


class EventsAfter(Request, frozen=True, kw_only=True):
    """`after` is a `next` that was answered before, or the id of an event of the stream."""

    after: str = ""
    limit: Limit = 100


class Follow(Request, frozen=True, kw_only=True):
    """The header Last-Event-ID says the same as `after`. Without both: from now on."""

    after: str = ""


class Newest(Request, frozen=True, kw_only=True):
    limit: Limit = 100


class OfToken(Request, frozen=True, kw_only=True):
    name: str


class CreateToken(Request, frozen=True, kw_only=True):
    name: str
    role: Role
    seconds: float = 90 * 86_400


class RevokeCertificate(Request, frozen=True, kw_only=True):
    """`name` is a serial, a host's name or its id. `even_with_vms`: also where the host holds
    protected VMs and is not proven dead, which is refused without it."""

    name: str
    reason: str = ""
    even_with_vms: bool = False


class NewJoin(Request, frozen=True, kw_only=True):
    controller: bool = False
    for_s: int = 3_600


class OfJoin(Request, frozen=True, kw_only=True):
    id: str


class Revoked(Struct, frozen=True, kw_only=True):
    """Serials, and the names of their hosts."""

    revoked: tuple[str, ...]
    hosts: tuple[str, ...] = ()


class CaShown(Struct, frozen=True, kw_only=True):
    """`certificate` is PEM, `fingerprint` its SHA-256 in hex."""

    fingerprint: str
    certificate: str


class Error(Struct, frozen=True, kw_only=True):
    """What went wrong, what to do about it, and the exit code that the command line gives."""

    error: str
    hint: str = ""
    code: int = 4


class Health(Struct, frozen=True, kw_only=True):
    is_up: bool = True


class Events(Struct, frozen=True, kw_only=True):
    """`gap`: events that followed `after` and are not kept any more. Ask on with `next`."""

    events: tuple[Event, ...]
    gap: EventGap | None
    next: str


class Changes(Struct, frozen=True, kw_only=True):
    changes: tuple[Change, ...]


class TokenMade(TokenShown, frozen=True, kw_only=True):
    """`token` is the whole token; it is kept nowhere."""

    token: str


class Told(Struct, frozen=True, kw_only=True):
    """Which hosts heard of a change. Those away hear it when they are back."""

    told: tuple[str, ...] = ()
    not_told: tuple[str, ...] = ()
    away: tuple[str, ...] = ()


class Disarmed(Told, frozen=True, kw_only=True):
    disarm: Disarm


class ArmedAgain(Told, frozen=True, kw_only=True):
    """`was` is what had been switched off, and by whom; null: it was on already."""

    was: Disarm | None = None


class VmShown(Struct, frozen=True, kw_only=True):
    vm: VmSummary
    incidents: tuple[Incident, ...] = ()


class Protected(Struct, frozen=True, kw_only=True):
    """`answers_now`: what answers now in the way that was asked for, or empty; without it nobody
    looked, or the VM does not run. `elsewhere` is why it would not start on another host, and
    `would_break` who else would not any more; `rebuilt` which disks would be made anew there, so
    that their data is lost. On a site of one host nothing is said of that."""

    protection: Protection
    domain: dict[str, Any] = {}
    old_host_is_gone: str = ""
    answers_now: str | None = None
    starts_elsewhere: bool | None = None
    elsewhere: str = ""
    elsewhere_helps: str = ""
    would_break: str = ""
    rebuilt: str = ""


class Unprotected(Struct, frozen=True, kw_only=True):
    vm: str
    name: str


class Recovering(Struct, frozen=True, kw_only=True):
    state: str = ""
    incident: str = ""


class LastWordsShown(Struct, frozen=True, kw_only=True):
    """One of three: the bundle of a VM and its folder on its host; while that host is away the
    copy that the controllers have; or, asked by the name of a host, its own last records."""

    bundle: Bundle | None = None
    folder: str = ""
    vm_copy: dict[str, Any] | None = None
    host_words: dict[str, Any] | None = None
    levels: dict[str, int] = {}
    vms: dict[str, str] = {}


class Explained(Struct, frozen=True, kw_only=True):
    """`records` are lines of journals in the order of causes, each with `from`: whose it is.

    `owner`: whose journal has the incident, and the clock of all instants. `missing`: whose
    journals could not be had. `names` of hosts, `host_words`: last records of a lost one. `levels`
    are the promised times of VMs in ms, `vms` the incidents of those that started because of it.
    """

    incident: Incident
    records: tuple[dict[str, Any], ...] = ()
    owner: str = ""
    missing: tuple[str, ...] = ()
    names: dict[str, str] = {}
    host_words: dict[str, Any] | None = None


class Fencings(Struct, frozen=True, kw_only=True):
    """On how many hosts Holdfast acts, and how many of these it could fence now."""

    acting: int = 0
    fenceable: int = 0


class FenceShown(Struct, frozen=True, kw_only=True):
    """The newest fence of a host. `step`: intended (its power is to go off), off (proven dead), or
    closed (it is back). `by`: a person's word was the proof; else its fence agent took `took_ms`.
    """

    number: int
    step: FenceStep
    by: str = ""
    doubt: str = ""
    reason: str = ""
    intended_utc_ms: int = 0
    proven_utc_ms: int = 0
    took_ms: int = 0


class Host(Struct, frozen=True, kw_only=True):
    """`state` is one word, `said` the same as a sentence, `care` well, odd or bad. `is_up`: its
    agent is linked, `since_utc_ms`. `planes_heard`: where its pulses arrive at this controller.
    `mode` act: it is fenced when it dies. `is_fenceable` now, or `why_not_fenceable`.
    `is_drained`: in maintenance. `predicted`: why it is expected to fail, or empty. `lease`: VMs
    that rely on its lease, as it acknowledged; `lease_trouble` is why it could not. `parts` are
    what is guarded there, with what came of each repair that was tried."""

    host: str
    host_name: str
    state: str = ""
    said: str = ""
    care: str = "well"
    is_silent: bool = False
    boot: str = ""
    is_up: bool = False
    since_utc_ms: int = 0
    is_amnesiac: bool = False
    vms: int = 0
    planes: tuple[str, ...] = ()
    planes_heard: tuple[str, ...] = ()
    rack: str = ""
    switch: str = ""
    zone: str = ""
    roles: tuple[HostRole, ...] = ()
    faults: tuple[str, ...] = ()
    incident: str = ""
    mode: HostMode = HostMode.REPORT
    is_fenceable: bool = False
    why_not_fenceable: str = ""
    dump_wait_s: int = 0
    is_drained: bool = False
    predicted: str = ""
    lease: tuple[str, ...] = ()
    lease_trouble: str = ""
    parts: tuple[HostPart, ...] = ()
    fence_devices: tuple[str, ...] = ()
    fence: FenceShown | None = None


class HostShown(Struct, frozen=True, kw_only=True):
    """`if_lost`: what its loss would mean; null where that was not tried yet. `only_defined`: VMs
    of other hosts that left their definition here."""

    host: Host
    vms: tuple[VmSummary, ...] = ()
    only_defined: tuple[DefinedVm, ...] = ()
    alarms: tuple[AlarmRecord, ...] = ()
    if_lost: Loss | None = None


class Status(Struct, frozen=True, kw_only=True):
    """`store` is "answers", or what hinders it. `term` is null where this controller does not
    lead, `leader` who does. `controllers`: of each whether it is up, or why not; none: it is alone.
    `store_kind` is sqlite or etcd; `is_put_out` says that somebody put this host out of its site.
    """

    host_name: str
    term: int | None
    leader: str
    store: str
    store_kind: str
    is_put_out: bool
    controllers: dict[str, str]
    hosts: tuple[Host, ...]
    fencing: Fencings
    guarantee: Guarantee | None = None
    agents: tuple[dict[str, Any], ...]
    agents_awaited: tuple[str, ...]
    notifiers: tuple[dict[str, Any], ...]
    report_p99_ms: float | None
    reports_timed: int
    disarm: Disarm | None
    vms: tuple[VmSummary, ...]
    unknown_to_the_store: tuple[str, ...]
    held_for_a_person: tuple[str, ...]
    incidents: tuple[Incident, ...]
    open_alarms: int
    pulses: dict[str, Any]
    gaps: int
    duplicates: int
    defects: int
    refused_by_vim: int
    entries_refused: int = 0
    unknown_frames: int
    unreadable: int
    records_lost: dict[str, int]
    lost_because: dict[str, str] = {}
