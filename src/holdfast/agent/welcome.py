"""What the controller knows becomes inputs of policy, as far as it is news on this host."""

import logging

from holdfast.agent.identity import Identity
from holdfast.agent.inventory import Inventory
from holdfast.agent.loop import Loop, now
from holdfast.agent.terms import Terms
from holdfast.facts import commands as told
from holdfast.facts import wire
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.promises import Disarm, Group, Protection
from holdfast.facts.tenure import Tenure, TenureState
from holdfast.ports import clock

log = logging.getLogger(__name__)

BY = "the controller"


class Welcomer:
    """`terms` knows the store and the highest term: an older leader is not obeyed."""

    def __init__(
        self, loop: Loop, inventory: Inventory, me: Identity, terms: Terms | None = None
    ) -> None:
        self._loop, self._inventory, self._me = loop, inventory, me
        self._terms = terms or Terms()
        self._said: set[str] = set()

    def welcomed(self, welcome: wire.Welcome) -> None:
        """A disarm comes before the grants: nothing may start while it holds."""
        if self._is_refused(welcome) or self._is_outdated(welcome):
            return
        if not welcome.is_complete:  # Nobody leads: what is not named here stays as it is.
            if welcome.disarm is not None:
                self._take_disarm(welcome.disarm, welcome.disarm_left_ms)
            self._inventory.tell_anew()
            return
        self._terms.heard(welcome.store_id, welcome.term, welcome.replaces)
        self._take_disarm(welcome.disarm, welcome.disarm_left_ms)
        self._take_groups(welcome.groups)
        self._take_protections(welcome)
        self._inventory.tell_anew()

    def _is_refused(self, welcome: wire.Welcome) -> bool:
        text = welcome.refusal
        if not text and not wire.works_with(welcome.version):
            text = f"the controller speaks version {welcome.version}, this agent {wire.VERSION}"
        if text:
            self._say_once(f"the controller and this agent do not work together: {text}")
        return bool(text)

    def _is_outdated(self, welcome: wire.Welcome) -> bool:
        is_older = self._terms.is_outdated(welcome.store_id, welcome.term)
        if not welcome.is_complete or not is_older:
            return False
        why = f"{self._terms.highest} was heard"
        if self._terms.is_replaced(welcome.store_id):
            why = "its store was replaced by a restored one"
        self._say_once(f"a controller of term {welcome.term} is not obeyed: {why}")
        return True

    def _take_protections(self, welcome: wire.Welcome) -> None:
        """A VM that is not named stays as it is here: a store that was lost ends no promise."""
        world = self._loop.decider.world
        ended = set(welcome.released)
        for protection in welcome.protections:
            record = world.vms.get(protection.vm)
            held = record.protection if record else None
            tenure = protection.tenure
            if held is not None and self._is_no_word(held.tenure, tenure):
                continue
            if held is not None and self._is_outranked(held.tenure, tenure):
                holder = welcome.host_names.get(tenure.host, tenure.host)
                self._loop.consume(_outranked(tenure, holder))
            elif tenure.host != self._me.host or not tenure.boot:
                ended.add(protection.vm)  # Another's; or it waits for a person.
            elif tenure.state is TenureState.RECOVERING and not _is_same(held, tenure):
                continue  # The leader will order its start, or has found this host unfit.
            elif tenure.boot == self._me.boot and (held is None or _is_news(held, protection)):
                granted = told.ProtectionGranted(at=now(), protection=protection, by=BY)
                self._loop.consume(granted)
        named = ended | {protection.vm for protection in welcome.protections}
        for record in list(world.vms.values()):
            if record.protection is None:
                if record.vm in welcome.released and not record.is_free:
                    self._loop.consume(told.ProtectionEnded(at=now(), vm=record.vm, by=BY))
                continue
            if record.vm in ended:
                self._loop.consume(told.ProtectionEnded(at=now(), vm=record.vm, by=BY))
            elif record.vm not in named:
                self._say_once(f"{record.name} is unknown to the store: protect it again")

    def _is_outranked(self, held: Tenure, tenure: Tenure) -> bool:
        """Whether another host holds it by now. Of one that moves, or waits for a person, it is
        not known where it runs: then what runs here is left alone."""
        is_held = bool(tenure.boot) and tenure.state is not TenureState.MIGRATING
        return is_held and tenure.host != self._me.host and tenure.generation > held.generation

    def _is_no_word(self, held: Tenure, tenure: Tenure) -> bool:
        """The store is an old one: this host's greeting has told it so. Or it moves between others,
        and by what this host held in an earlier boot it starts nothing: the leader asks it to greet
        again once it is known who holds it."""
        if tenure.generation < held.generation:
            return True
        is_newer = tenure.host != self._me.host and tenure.generation > held.generation
        is_on_its_way = bool(tenure.boot) and tenure.state is TenureState.MIGRATING
        return is_newer and is_on_its_way and held.boot != self._me.boot

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            log.warning("%s", text)

    def _take_groups(self, groups: tuple[Group, ...]) -> None:
        world = self._loop.decider.world
        for group in groups:
            if world.groups.get(group.name) != group:
                self._loop.consume(told.GroupSet(at=now(), group=group))
        for name in set(world.groups) - {group.name for group in groups}:
            self._loop.consume(told.GroupForgotten(at=now(), name=name))

    def _take_disarm(self, disarm: Disarm | None, left_ms: int | None) -> None:
        """One that was told on this host stays until its own end, or until somebody arms."""
        held = self._loop.decider.world.disarm
        if disarm is not None:
            if left_ms is None:  # A controller of an earlier version does not say it.
                left_ms = disarm.left_ms(clock.utc_ms())
            at = now()
            until = Instant(at + left_ms * NS_PER_MS)
            if held != disarm:
                self._loop.consume(told.Disarmed(at=at, disarm=disarm, until=until))
        elif held is not None and not held.told_on:
            self._loop.consume(told.Armed(at=now(), by=BY))


def _is_same(held: Protection | None, tenure: Tenure) -> bool:
    mine = held.tenure if held else None
    return mine is not None and (mine.generation, mine.boot) == (tenure.generation, tenure.boot)


def _outranked(tenure: Tenure, holder: str) -> told.CopyOutranked:
    return told.CopyOutranked(at=now(), vm=tenure.vm, generation=tenure.generation, holder=holder)


def _is_news(held: Protection, granted: Protection) -> bool:
    """Another boot, a newer tenure, or another promise; never an older generation."""
    mine, theirs = held.tenure, granted.tenure
    if theirs.generation < mine.generation:
        return False
    if (theirs.generation, theirs.boot) != (mine.generation, mine.boot):
        return True
    promised = (granted.group, granted.answer, granted.name)
    return theirs.revision > mine.revision or promised != (held.group, held.answer, held.name)
