"""The stage of stories of a site: a data centre, the laws that hold there, what the VIM hears."""

from typing import Any

from holdfast.facts.alarms import Alarm, AlarmState
from holdfast.facts.instants import NS_PER_S
from tests.simulation.data_centre import DataCentre
from tests.simulation.fence_laws import FenceLaws
from tests.simulation.move_laws import MoveLaws
from tests.simulation.receivers import Arrived
from tests.simulation.site_laws import SiteLaws

AT_REST_MS = 12_000.0  # Everybody has started, greeted and been heard.


class SiteStage:
    """`said` are the lines since it was last emptied: what the VIM heard first, and when; `paged`
    what the pager heard, each time that it did."""

    def __init__(self, seed: int = 0, at_rest_ms: float = AT_REST_MS, **site: Any) -> None:
        self.site = DataCentre(seed, **site)
        self.laws = SiteLaws(self.site)
        self.fences = FenceLaws(self.site, self.laws)
        self.moves = MoveLaws(self.fences)
        self.said: list[str] = []
        self._known: set[tuple[str, int, AlarmState]] = set()
        self.paged: list[str] = []
        self.site.receiver.heard = self._heard
        self.site.pager.heard = self._paged
        self.site.begin()
        self.advance(at_rest_ms)

    def advance(self, ms: float) -> None:
        """Let that much time pass. Raises LawBroken."""
        self.site.run_for(ms)
        self.laws.look()

    def end(self) -> None:
        self.site.end()

    def _heard(self, arrived: Arrived) -> None:
        self.laws.heard(arrived)
        alarm = arrived.record.alarm
        name = (alarm.key, alarm.revision, alarm.state)
        if name in self._known:
            return  # Another controller says it too.
        self._known.add(name)
        self.said.append(self._line(alarm))

    def _paged(self, arrived: Arrived) -> None:
        self.paged.append(self._line(arrived.record.alarm))

    def _line(self, alarm: Alarm) -> str:
        seconds = self.site.clock.now / NS_PER_S
        root = f", because of {alarm.root.rpartition(':')[2]}" if alarm.root else ""
        who = f"{alarm.condition} of {alarm.subject.name} ({alarm.certainty}{root})"
        return f"{seconds:9.3f} s  {alarm.state} {who}: {alarm.text}"
