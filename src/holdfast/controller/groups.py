"""Groups and disarm: set by people for many VMs, kept in the store, told to all agents."""

import asyncio
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from holdfast.controller.agents import Agents
from holdfast.controller.registry import DISARM, Puts, Registry
from holdfast.facts.promises import (
    DEFAULT_GROUP,
    Admission,
    Disarm,
    Group,
    LocalDisk,
    Owner,
    Spread,
    Zones,
    disarm_seconds,
    group_problem,
)
from holdfast.ports import clock
from holdfast.ports.answers import REFUSED, USAGE, Unanswerable, unknown

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
TELL_LIMIT_S = 5.0
LEASE_CONTROLLERS = 3
PLAIN = msgspec.to_builtins


class Groups:
    """`written` are the groups of the settings file, which only that file changes. `controllers`
    is how many the site has."""

    def __init__(
        self, registry: Registry, agents: Agents, written: Iterable[Group], controllers: int = 1
    ) -> None:
        self._registry, self._agents, self._controllers = registry, agents, controllers
        self._written = {group.name: group for group in written}

    def may_rely(self) -> bool:
        """Whether VMs of this site can rely on a lease."""
        return self._controllers >= LEASE_CONTROLLERS

    async def put_written(self) -> None:
        """Raises StoreAway."""
        await self._registry.change(
            lambda: {f"groups/{name}": group for name, group in self._written.items()}
        )

    def all(self) -> list[Group]:
        """Those of the settings also while the store is away."""
        return sorted({**self._registry.groups(), **self._written}.values(), key=lambda g: g.name)

    async def set(self, args: dict[str, Any], by: str, term: int) -> Any:
        name = str(args.get("name") or "")
        self._refuse_written(name)
        if not NAME.fullmatch(name):
            text = f"{name!r} is no name: use letters, digits, and . _ - inside, up to 63"
            raise Unanswerable(text, "holdfast group set NAME ...", USAGE)
        given = {key: value for key, value in args.items() if key != "name" and value is not None}
        if given.get("lease") is True and not self.may_rely():
            text = f"a lease takes {LEASE_CONTROLLERS} controllers, and this site has"
            why = "with fewer, each restart of a controller could end the VMs that rely on it"
            hint = "docs/operate/site.md says how to have three"
            raise Unanswerable(f"{text} {self._controllers}: {why}", hint, REFUSED)

        def wanted() -> Puts:
            before = self._registry.groups().get(name, Group(name=name))
            return {f"groups/{name}": _changed(before, given)}

        await self._registry.change(wanted)
        group = self._registry.groups()[name]
        told = await self.tell_all("group", {"group": PLAIN(group)}, by, term)
        return {"group": PLAIN(group), **told}

    async def forget(self, name: str, by: str, term: int) -> Any:
        groups = {group.name for group in self.all()}
        if name not in groups:
            raise unknown("group", name, groups, "holdfast group list")
        self._refuse_written(name)
        if name == DEFAULT_GROUP.name and f"groups/{name}" not in self._registry:
            raise Unanswerable("the group default is always there", "", USAGE)

        def wanted() -> Puts:
            members = [p.name for p in self._registry.protections().values() if p.group == name]
            if members and name != DEFAULT_GROUP.name:
                text = f"group {name} still has {', '.join(sorted(members))}"
                raise Unanswerable(text, f"holdfast vm protect {members[0]} --group default")
            return {f"groups/{name}": None}

        await self._registry.change(wanted)
        if name == DEFAULT_GROUP.name:
            return await self.tell_all("group", {"group": PLAIN(DEFAULT_GROUP)}, by, term)
        return await self.tell_all("group-forget", {"name": name}, by, term)

    async def disarm(self, args: dict[str, Any], by: str, term: int) -> Any:
        reason = str(args.get("reason") or "").strip()
        if not reason:
            raise Unanswerable("a disarm needs a reason", "use --reason TEXT", USAGE)
        disarm = _read_disarm(args.get("seconds"), reason, by)
        await self._registry.change(lambda: {DISARM: disarm})
        left_ms = self._registry.disarm_left_ms()
        said = {"disarm": PLAIN(disarm), "left_ms": left_ms}
        told = await self.tell_all("disarm", said, by, term)
        return {"disarm": PLAIN(disarm), **told}

    async def arm(self, by: str, term: int) -> Any:
        was = self._registry.disarm()
        await self._registry.change(lambda: {DISARM: None})
        told = await self.tell_all("arm", {}, by, term)
        return {"was": PLAIN(was) if was else None, **told}

    async def tell_all(self, name: str, args: dict[str, Any], by: str, term: int) -> dict[str, Any]:
        """Every agent at once. One that is away hears it when it greets again."""
        agents = list(self._agents.linked())
        replies = await asyncio.gather(
            *(
                self._agents.ask(agent, name, args, by=by, term=term, limit_s=TELL_LIMIT_S)
                for agent in agents
            ),
            return_exceptions=True,
        )
        told, not_told = [], []
        for agent, reply in zip(agents, replies, strict=True):
            if isinstance(reply, BaseException):
                not_told.append(f"{agent.host_name}: {reply}")
            elif reply.error:
                not_told.append(f"{agent.host_name}: {reply.error}")
            else:
                told.append(agent.host_name)
        away = [a.host_name for a in self._agents.by_host.values() if a.link is None]
        return {"told": told, "not_told": not_told, "away": away}

    def _refuse_written(self, name: str) -> None:
        if name in self._written:
            text = f"group {name} is written in the settings file"
            raise Unanswerable(text, "change it there, and restart the controller", REFUSED)


def _changed(before: Group, given: dict[str, Any]) -> Group:
    """Raises Unanswerable for the first value that does not fit."""
    if problem := group_problem(given):
        raise Unanswerable(problem, "holdfast group set --help", USAGE)
    strange = sorted(set(given) - set(Group.__struct_fields__))
    if strange:
        raise Unanswerable(f"a group has no {strange[0]!r}", "holdfast group set --help", USAGE)
    try:
        return msgspec.convert({**PLAIN(before), **given}, Group)
    except msgspec.ValidationError:
        words = {
            "owner": Owner,
            "spread": Spread,
            "zones": Zones,
            "admit": Admission,
            "local_disk": LocalDisk,
        }
        allowed = (f"{key} must be one of {', '.join(known)}" for key, known in words.items())
        text = f"{'; '.join(allowed)}; dump and lease must be true or false"
        raise Unanswerable(text, "holdfast group set --help", USAGE) from None


def _read_disarm(seconds: Any, reason: str, by: str) -> Disarm:
    try:
        lasts_s = disarm_seconds(seconds)
    except ValueError as error:
        raise Unanswerable(str(error), "use --for 1h", USAGE) from None
    utc_ms = clock.utc_ms()
    until_utc_ms = utc_ms + int(lasts_s * 1_000)
    return Disarm(owner=by, reason=reason, since_utc_ms=utc_ms, until_utc_ms=until_utc_ms)
