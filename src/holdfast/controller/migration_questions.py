"""What `holdfast vm migrate`, `host drain` and `host predicted` ask a controller."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from holdfast.controller.agents import Agents
from holdfast.controller.host_rows import HostRows
from holdfast.controller.leadership import Leadership
from holdfast.controller.migrating import Migrating
from holdfast.controller.registry import Puts, Registry
from holdfast.facts import wire
from holdfast.facts.migrations import Drain, Migration, MigrationStep, Prediction, Progress
from holdfast.policy import site_drains, site_migrations
from holdfast.policy.site_world import SiteWorld
from holdfast.ports import clock
from holdfast.ports.answers import REFUSED, USAGE, Unanswerable

LIMIT_S = (10, 86_400)
LONGEST_REASON = 500
PLAIN = msgspec.to_builtins
Handler = Callable[[wire.Question], Awaitable[Any]]


class MigrationQuestions:
    def __init__(
        self,
        *,
        registry: Registry,
        agents: Agents,
        hosts: HostRows,
        leadership: Leadership,
        migrating: Migrating,
        world: SiteWorld,
        say: Callable[[str], None],
    ) -> None:
        self._registry, self._agents, self._hosts = registry, agents, hosts
        self._leadership, self._migrating, self._world, self._say = (
            leadership,
            migrating,
            world,
            say,
        )

    def handlers(self) -> dict[str, Handler]:
        return {
            "vm-migrate": self._migrate,
            "vm-migrate-cancel": self._cancel,
            "migration": self._migration,
            "host-drain": self._drain,
            "host-undrain": self._undrain,
            "drain": self._drain_state,
            "host-predict": self._predict,
            "host-unpredict": self._unpredict,
            "prediction": self._prediction_state,
        }

    async def _migrate(self, asked: wire.Question) -> Any:
        self._leadership.must_lead()
        vm, name = self._find(asked)
        wish = str(asked.args.get("to") or "")
        target = str(self._hosts.find(wish)["host"]) if wish else ""
        limit_s = _read_limit(asked.args)
        migration, why = site_migrations.begin(self._world, vm, target, asked.by, limit_s)
        why = why if migration is None else await self._migrating.commit(migration)
        if why or migration is None:
            hint = f"what is known of it: holdfast vm show {name}"
            raise Unanswerable(f"{name} cannot be moved: {why}", hint, REFUSED)
        self._say(f"{asked.by} moves {name} to {self._name(migration.target)}")
        return self._row(migration)

    async def _cancel(self, asked: wire.Question) -> Any:
        self._leadership.must_lead()
        vm, name = self._find(asked)
        if not await self._migrating.cancel(vm, asked.by):
            raise Unanswerable(f"{name} does not move", f"holdfast vm show {name}", REFUSED)
        return self._row(self._found(vm))

    async def _migration(self, asked: wire.Question) -> Any:
        return self._row(self._found(self._find(asked)[0]))

    def _find(self, asked: wire.Question) -> tuple[str, str]:
        """Its uuid and name. A VM that moves may be known to two hosts. Raises Unanswerable."""
        wanted = str(asked.args["vm"])
        held = [
            one for one in self._registry.protections().values() if wanted in (one.vm, one.name)
        ]
        if len(held) == 1:
            return held[0].vm, held[0].name
        _, summary = self._agents.find_vm(wanted)
        return summary.vm, summary.name

    def _found(self, vm: str) -> Migration:
        migration = self._registry.migration(vm)
        if migration is None:
            text = f"{self._agents.name_of(vm) or vm} was never moved"
            raise Unanswerable(text, "holdfast vm migrate --help", USAGE)
        return migration

    def _row(self, migration: Migration) -> dict[str, Any]:
        progress = self._migrating.progress.get(migration.vm, Progress())
        if migration.step is MigrationStep.DONE:
            progress = Progress(total_bytes=1)
        return {
            "vm": migration.vm,
            "name": migration.name,
            "number": migration.number,
            "source": self._name(migration.source),
            "target": self._name(migration.target),
            "step": str(migration.step),
            "is_over": not migration.is_open,
            "is_cancelled": migration.is_cancelled,
            "reason": migration.reason,
            "by": migration.by,
            "percent": progress.percent,
            "left_bytes": progress.left_bytes,
            "total_bytes": 0 if not migration.is_open else progress.total_bytes,
            "pause_ms": migration.pause_ms,
            "begun_utc_ms": migration.begun_utc_ms,
            "ended_utc_ms": migration.ended_utc_ms,
        }

    # Maintenance.

    async def _drain(self, asked: wire.Question) -> Any:
        self._leadership.must_lead()
        row = self._hosts.find(str(asked.args["host"]))
        host, name, limit_s = str(row["host"]), str(row["host_name"]), _read_limit(asked.args)

        def wanted() -> Puts:
            if host in self._registry.drains():
                return {}
            drain = Drain(host=host, by=asked.by, limit_s=limit_s, since_utc_ms=clock.utc_ms())
            return {f"drains/{host}": drain}

        await self._registry.change(wanted)
        self._say(f"{name} is drained: its VMs move away, and none is placed there ({asked.by})")
        return self._drained(host, name)

    async def _undrain(self, asked: wire.Question) -> Any:
        self._leadership.must_lead()
        row = self._hosts.find(str(asked.args["host"]))
        host, name = str(row["host"]), str(row["host_name"])
        was = host in self._registry.drains()
        await self._registry.change(lambda: {f"drains/{host}": None})
        if was:
            self._say(f"{name} is no longer drained ({asked.by})")
        return {**self._drained(host, name), "was_drained": was}

    async def _drain_state(self, asked: wire.Question) -> Any:
        row = self._hosts.find(str(asked.args["host"]))
        return self._drained(str(row["host"]), str(row["host_name"]))

    def _drained(self, host: str, name: str) -> dict[str, Any]:
        """Each VM that still runs there: on its way, waiting for its turn, or why it stays."""
        names = {one.vm: one.name for one in site_drains.there(self._world, host)}
        moves = (one for one in self._registry.migrations().values() if one.is_open)
        names |= {one.vm: one.name for one in moves if one.source == host}
        return {
            "host": host,
            "host_name": name,
            "is_drained": host in self._registry.drains(),
            "vms": [self._leaving(vm, name) for vm, name in sorted(names.items())],
        }

    # A host that is expected to fail.

    async def _predict(self, asked: wire.Question) -> Any:
        self._leadership.must_lead()
        row = self._hosts.find(str(asked.args["host"]))
        host, name = str(row["host"]), str(row["host_name"])
        reason = " ".join(str(asked.args.get("reason") or "").split())[:LONGEST_REASON]
        if not reason:
            raise Unanswerable("why it is expected to fail is not said", "--reason TEXT", USAGE)
        since_utc_ms = clock.utc_ms()

        def wanted() -> Puts:
            known = self._registry.predictions().get(host)
            since = known.since_utc_ms if known is not None else since_utc_ms
            one = Prediction(host=host, name=name, reason=reason, by=asked.by, since_utc_ms=since)
            return {f"predictions/{host}": one}

        await self._registry.change(wanted)
        self._say(f"{name} is expected to fail: {reason} ({asked.by})")
        return self._predicted(host, name)

    async def _unpredict(self, asked: wire.Question) -> Any:
        self._leadership.must_lead()
        row = self._hosts.find(str(asked.args["host"]))
        host, name = str(row["host"]), str(row["host_name"])
        was = host in self._registry.predictions()
        await self._registry.change(lambda: {f"predictions/{host}": None})
        if was:
            self._say(f"{name} is no longer expected to fail ({asked.by})")
        return {**self._predicted(host, name), "was_predicted": was}

    async def _prediction_state(self, asked: wire.Question) -> Any:
        row = self._hosts.find(str(asked.args["host"]))
        return self._predicted(str(row["host"]), str(row["host_name"]))

    def _predicted(self, host: str, name: str) -> dict[str, Any]:
        one = self._registry.predictions().get(host)
        return {
            "host": host,
            "host_name": name,
            "is_predicted": one is not None,
            "reason": one.reason if one is not None else "",
            "by": one.by if one is not None else "",
            "since_utc_ms": one.since_utc_ms if one is not None else 0,
            "kept": site_drains.why_kept(self._world, one) if one is not None else "",
            "vms": self._drained(host, name)["vms"],
        }

    def _leaving(self, vm: str, name: str) -> dict[str, Any]:
        migration, now = self._registry.migration(vm), self._world.moving.get(vm)
        if migration is not None and migration.is_open:
            return {"vm": vm, "name": name, "stays": "", "moves": self._row(migration)}
        return {"vm": vm, "name": name, "stays": now.stuck if now else "", "moves": None}

    def _name(self, host: str) -> str:
        known = self._registry.known(host)
        return known.host_name if known is not None else host


def _read_limit(args: Mapping[str, Any]) -> int:
    least, most = LIMIT_S
    limit_s = args.get("timeout_s", 300)
    if not isinstance(limit_s, int) or not least <= limit_s <= most:
        text = f"a time limit is from {least} to {most} seconds"
        raise Unanswerable(text, "--timeout 5m", USAGE)
    return limit_s
