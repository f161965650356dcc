"""What a controller tells the policy of its site: who belongs to it, who leads, what others say."""

from msgspec import Struct

from holdfast.facts.alarms import Alarm
from holdfast.facts.commands import IncidentSettled, Told, Woke
from holdfast.facts.verdicts import Verdict


class HostVm(Struct, frozen=True, kw_only=True):
    """A VM that runs on a host, as its agent said last."""

    vm: str
    name: str


class SiteBegan(Told, frozen=True, kw_only=True):
    """This controller started. `boot` is that of its host, whose clock all instants are of."""

    controller: str
    boot: str


class HostSet(Told, frozen=True, kw_only=True):
    """A host belongs to the site. `rack` and `switch` are what it shares with others, or empty."""

    host: str
    name: str
    rack: str = ""
    switch: str = ""


class HostLeft(Told, frozen=True, kw_only=True):
    host: str


class VmsSet(Told, frozen=True, kw_only=True):
    """All VMs that run on a host in this boot: they are lost with it."""

    host: str
    boot: str
    vms: tuple[HostVm, ...]


class LeadChanged(Told, frozen=True, kw_only=True):
    """This controller leads now, in this term; or it does not (0)."""

    term: int


class AlarmShared(Told, frozen=True, kw_only=True):
    """Another controller has reported this alarm, and those who are told have it."""

    alarm: Alarm


SiteFact = (
    SiteBegan
    | HostSet
    | HostLeft
    | VmsSet
    | LeadChanged
    | AlarmShared
    | IncidentSettled
    | Woke
    | Verdict
)
