"""What every drill has at hand: a host or a site with Holdfast on it, its choices, its ledger."""

from dataclasses import dataclass

from holdfast.lab.drills.ledger import Ledger
from holdfast.lab.drills.site_stage import SiteStage
from holdfast.lab.drills.stage import Stage
from holdfast.lab.event_watch import EventWatch
from holdfast.lab.hosts import Host

# Later alarms for the same fault, and false ones, are looked for so long after the last run.
AFTERMATH_S = 2.0


@dataclass(frozen=True)
class Choices:
    """What the command line chose. `runs` is None for the drill's own number."""

    runs: int | None = None
    memory_mib: int | None = None
    is_busy: bool = False
    vms: int | None = None


@dataclass(kw_only=True)
class Scene(Ledger):
    """One drill on one host, under way."""

    host: Host
    stage: Stage
    events: EventWatch
    choices: Choices


@dataclass(kw_only=True)
class SiteScene(Ledger):
    """One drill on a site of several hosts, under way."""

    site: SiteStage
    choices: Choices
