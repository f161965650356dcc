"""Alarms of the controller on itself: reports too slow, a record lost, a notice refused.

The limits are those of the agent's detectors of the same names.
"""

from collections.abc import Callable

from holdfast.controller.raising import Wanted, set_alarms
from holdfast.detectors import records_lost, reporting_slow
from holdfast.facts.alarms import alarm_key
from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.subjects import Subject, SubjectKind
from holdfast.ports.journal import Losses
from holdfast.ports.vim import Vim

QUIET_NS = records_lost.QUIET_MS * NS_PER_MS


class OwnAlarms:
    """Looked at every second; raised once, cleared when it is over."""

    def __init__(self, vim: Vim, host: str, boot: str) -> None:
        self._vim, self._host, self._boot = vim, host, boot
        self._subject = Subject(kind=SubjectKind.HOLDFAST, id="controller", name="controller")
        self._lost = 0
        self._lost_at: int | None = None

    async def look(
        self,
        p99_ms: float | None,
        timed: int,
        losses: Losses,
        at: int,
        refused: str = "",
        store: str = "",
    ) -> None:
        """`timed` is the number of reports that the p99 stands on; `refused` says what lies aside,
        and `store` what is wrong with the store's member beside this controller.

        Raises VimAway, VimRefused.
        """
        is_slow = (
            p99_ms is not None
            and p99_ms > reporting_slow.LIMIT_MS
            and timed >= reporting_slow.FEWEST
        )
        limit = f"over {reporting_slow.LIMIT_MS}"
        text = f"from a fault to the VIM's answer the p99 is {p99_ms or 0:.0f} ms, {limit}"
        wanted = [self._wanted("reporting-slow", is_slow, text)]
        if losses.count > self._lost:
            self._lost, self._lost_at = losses.count, at
        is_recent = self._lost_at is not None and at - self._lost_at < QUIET_NS
        text = f"the controller could not keep {losses.count} records: {losses.reason}"
        wanted.append(self._wanted("records-lost", is_recent, text))
        wanted.append(self._wanted("notice-refused", bool(refused), refused))
        wanted.append(self._wanted("store-member-lost", bool(store), store))
        await set_alarms(self._vim, wanted, at)

    def _wanted(self, condition: str, is_so: bool, text: str) -> Wanted:
        return Wanted(
            key=alarm_key(f"{self._host}/controller", condition),
            condition=condition,
            subject=self._subject,
            host=self._host,
            boot=self._boot,
            text=text if is_so else "",
        )


def add_up(losses: dict[str, Callable[[], Losses]]) -> Losses:
    """All of them as one, with the reason of each that lost anything."""
    found = {name: read() for name, read in losses.items()}
    reasons = [f"{name}: {one.reason}" for name, one in found.items() if one.count]
    return Losses(count=sum(one.count for one in found.values()), reason="; ".join(reasons))
