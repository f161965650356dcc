"""What the controller knows becomes inputs of policy, as far as it is news on this host."""

import time

from holdfast.agent.identity import Identity
from holdfast.agent.inventory import Inventory
from holdfast.agent.loop import Loop, now
from holdfast.agent.questions import HERE
from holdfast.facts import commands as told
from holdfast.facts import wire
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.promises import Disarm, Group

BY = "the controller"


class Welcomer:
    def __init__(self, loop: Loop, inventory: Inventory, me: Identity) -> None:
        self._loop, self._inventory, self._me = loop, inventory, me

    def welcomed(self, welcome: wire.Welcome) -> None:
        """A disarm comes before the grants: nothing may start while it holds."""
        if not welcome.is_complete:  # The store is away: what is not named here stays as it is.
            if welcome.disarm is not None:
                self._take_disarm(welcome.disarm)
            self._inventory.tell_anew()
            return
        self._take_disarm(welcome.disarm)
        self._take_groups(welcome.groups)
        world = self._loop.decider.world
        # A tenure without a boot waits for a person, whatever this agent remembers of it.
        known = {p.vm for p in welcome.protections if p.tenure.boot}
        for protection in welcome.protections:
            tenure = protection.tenure
            if tenure.host != self._me.host or tenure.boot != self._me.boot:
                continue
            record = world.vms.get(protection.vm)
            held = record.protection if record else None
            if held is None or held.tenure.boot != tenure.boot or _is_changed(held, protection):
                granted = told.ProtectionGranted(at=now(), protection=protection, by=BY)
                self._loop.consume(granted)
        for record in list(world.vms.values()):
            if record.protection is not None and record.vm not in known:
                self._loop.consume(told.ProtectionEnded(at=now(), vm=record.vm, by=BY))
        self._inventory.tell_anew()

    def _take_groups(self, groups: tuple[Group, ...]) -> None:
        world = self._loop.decider.world
        for group in groups:
            if world.groups.get(group.name) != group:
                self._loop.consume(told.GroupSet(at=now(), group=group))
        for name in set(world.groups) - {group.name for group in groups}:
            self._loop.consume(told.GroupForgotten(at=now(), name=name))

    def _take_disarm(self, disarm: Disarm | None) -> None:
        """One that was told on this host stays until its own end, or until somebody arms."""
        held = self._loop.decider.world.disarm
        if disarm is not None:
            left_ms = max(0, disarm.until_utc_ms - time.time_ns() // NS_PER_MS)
            at = now()
            until = Instant(at + left_ms * NS_PER_MS)
            if held != disarm:
                self._loop.consume(told.Disarmed(at=at, disarm=disarm, until=until))
        elif held is not None and not held.owner.endswith(HERE):
            self._loop.consume(told.Armed(at=now(), by=BY))


def _is_changed(held: object, granted: object) -> bool:
    """The group or the answer is another; what is wanted now is known better here."""
    fields = ("group", "answer", "name")
    return any(getattr(held, field) != getattr(granted, field) for field in fields)
