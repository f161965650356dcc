"""Groups whose VMs Holdfast makes itself, put together: their number, and what is asked."""

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.controller import instance_wishes
from holdfast.controller.instance_alarms import InstanceAlarms
from holdfast.controller.instancing import Instances
from holdfast.facts import wire
from holdfast.facts.events import EventKind
from holdfast.ports import clock
from holdfast.ports.answers import unknown
from holdfast.ports.vim import VimAway, VimRefused

if TYPE_CHECKING:
    from holdfast.controller.assembly import Controller

log = logging.getLogger(__name__)
PLAIN = msgspec.to_builtins


def make_instances(one: "Controller") -> Callable[[], Awaitable[None]]:
    """Returns what is to run until it is cancelled; and lets the controller answer about groups."""

    def say(text: str) -> None:
        one.events.note(EventKind.HOST, text)

    world = one.watch.decider.world
    instances = Instances(
        registry=one.registry,
        agents=one.agents,
        world=world,
        term=lambda: one.leadership.term,
        say=say,
    )
    alarms = InstanceAlarms(one.registry, world, one.vim, instances.why, one.host_name, one.boot)
    one.questions.add(GroupQuestions(one, alarms).handlers())

    async def look() -> None:
        await instances.look()
        if one.leadership.term is None or not one.registry.is_whole:
            return
        try:
            await alarms.settle(clock.now())
        except (VimAway, VimRefused) as error:
            log.warning("how many VMs of a group are in service was not told: %s", error)

    return lambda: instances.run(look)


class GroupQuestions:
    def __init__(self, one: "Controller", alarms: InstanceAlarms) -> None:
        self._groups, self._registry, self._agents = one.groups, one.registry, one.agents
        self._leadership, self._alarms = one.leadership, alarms

    def handlers(self) -> dict[str, Callable[[wire.Question], Awaitable[Any]]]:
        return {
            "group": self._ask_group,
            "group-set": self._group_set,
            "group-forget": self._group_forget,
        }

    async def _ask_group(self, asked: wire.Question) -> Any:
        name = str(asked.args["name"])
        groups = {group.name: group for group in self._groups.all()}
        if name not in groups:
            raise unknown("group", name, groups, "holdfast group list")
        members = [one for one in self._agents.all_vms() if one.group == name]
        told = {"group": PLAIN(groups[name]), "vms": PLAIN(members)}
        template = self._registry.templates().get(name)
        return {**told, "template": self._alarms.shown(template)} if template else told

    async def _group_set(self, asked: wire.Question) -> Any:
        """The group first: its VMs are made by what it says."""
        term = self._leadership.must_lead()
        wish, rest = instance_wishes.read_wish(asked.args)
        name = str(asked.args.get("name") or "")
        if wish.is_any:
            instance_wishes.check(self._registry, name, wish)
        told = await self._groups.set(rest, asked.by, term)
        if wish.is_any:
            await self._registry.change(
                lambda: instance_wishes.apply(self._registry, name, wish, asked.by)
            )
        template = self._registry.templates().get(name)
        return {**told, "template": self._alarms.shown(template)} if template else told

    async def _group_forget(self, asked: wire.Question) -> Any:
        term, name = self._leadership.must_lead(), str(asked.args["name"])
        said = await self._groups.forget(name, asked.by, term)
        await self._registry.change(lambda: {f"templates/{name}": None})
        return said
