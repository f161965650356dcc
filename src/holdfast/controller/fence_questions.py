"""What `holdfast fence`, `host mode` and `host confirm-dead` ask a controller."""

from collections.abc import Awaitable, Callable
from typing import Any

from holdfast.controller.confirming import Confirming
from holdfast.controller.fencing import Fencing
from holdfast.controller.host_rows import HostRows
from holdfast.controller.leadership import Leadership
from holdfast.controller.rehearsal import Rehearsals
from holdfast.facts import wire
from holdfast.facts.fencing import HostMode
from holdfast.policy.rehearsals import what_helps
from holdfast.ports.answers import REFUSED, Unanswerable

REHEARSE_LIMIT_S = 20.0  # Below that of whoever asks: what takes longer goes on without them.
Handler = Callable[[wire.Question], Awaitable[Any]]


class FenceQuestions:
    def __init__(
        self,
        *,
        fencing: Fencing,
        rehearsals: Rehearsals,
        confirming: Confirming,
        hosts: HostRows,
        leadership: Leadership,
    ) -> None:
        self._fencing, self._rehearsals, self._confirming = fencing, rehearsals, confirming
        self._hosts, self._leadership = hosts, leadership

    def handlers(self) -> dict[str, Handler]:
        return {
            "fence-list": self._list,
            "fence-set": self._set,
            "fence-clear": self._clear,
            "fence-rehearse": self._rehearse,
            "host-mode": self._mode,
            "host-confirm-dead": self._confirm_dead,
        }

    def gauge(self) -> dict[str, int]:
        """On how many hosts Holdfast acts, and how many of these it could fence now."""
        acting = [row for row in self._hosts.all() if row["mode"] == HostMode.ACT]
        return {"acting": len(acting), "fenceable": sum(bool(r["is_fenceable"]) for r in acting)}

    async def _list(self, _asked: wire.Question) -> Any:
        return [self._row(row) for row in self._hosts.all()]

    async def _set(self, asked: wire.Question) -> Any:
        self._leadership.must_lead()
        return await self._fencing.set_device(asked.args, asked.by)

    async def _clear(self, asked: wire.Question) -> Any:
        self._leadership.must_lead()
        return await self._fencing.clear(asked.args, asked.by)

    async def _mode(self, asked: wire.Question) -> Any:
        self._leadership.must_lead()
        return await self._fencing.set_mode(asked.args, asked.by)

    async def _rehearse(self, asked: wire.Question) -> Any:
        """Of one host, or of all that have a device."""
        self._leadership.must_lead()
        named = str(asked.args.get("host") or "")
        rows = [self._hosts.find(named)] if named else self._hosts.all()
        chosen = [row for row in rows if row["fence_devices"]]
        if not chosen:
            name = str(rows[0]["host_name"]) if named else "HOST"
            text = f"{name} has no fence device" if named else "no host has a fence device"
            raise Unanswerable(text, what_helps(name, ()), REFUSED)
        hosts = [str(row["host"]) for row in chosen]
        slow = await self._rehearsals.rehearse(hosts, asked.by, REHEARSE_LIMIT_S)
        return {
            "hosts": [self._row(row) for row in chosen if row["host"] not in slow],
            "under_way": [str(row["host_name"]) for row in chosen if row["host"] in slow],
        }

    async def _confirm_dead(self, asked: wire.Question) -> Any:
        term = self._leadership.must_lead()
        return await self._confirming.ask(asked.args, asked.by, term)

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**self._fencing.row(str(row["host"])), "host_name": row["host_name"]}
