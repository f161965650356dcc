"""The door of the policy of a site: one fact about its hosts in, the actions it calls for out.

A function of the world and the fact alone, as policy/decide.py is for the VMs of a host. What is
believed and reported is worked out here; what a leader does about it in site_acts.py.
"""

from holdfast.facts import site as told
from holdfast.facts.actions import Action, AskWitnesses, Report
from holdfast.facts.alarms import Alarm, AlarmState
from holdfast.facts.commands import IncidentSettled, Woke
from holdfast.facts.instants import Instant, after, spoken
from holdfast.facts.site import SiteFact
from holdfast.facts.verdicts import Effect, FaultCleared, FaultRaised, HostHeard
from holdfast.policy import (
    brakes,
    site_acts,
    site_alarms,
    site_drains,
    site_fencing,
    site_incidents,
    site_losses,
    site_plans,
    timing,
)
from holdfast.policy.host_states import (
    SILENT,
    HostEvent,
    HostState,
    follow,
)
from holdfast.policy.site_dues import first_due
from holdfast.policy.site_world import LOSS, HostRecord, SiteWorld, loss_of
from holdfast.policy.vm_states import ImpossibleStepError

_EVENTS = {
    Effect.GONE: HostEvent.LOSE,
    Effect.STUCK: HostEvent.STICK,
    Effect.DOOMED: HostEvent.PLAN,
    Effect.DEGRADED: HostEvent.IMPAIR,
}


class SiteDecider:
    def __init__(self, world: SiteWorld | None = None) -> None:
        self.world = world or SiteWorld()
        self._due: tuple[Instant | None] | None = None  # Found once after each step.

    def step(self, fact: SiteFact) -> list[Action]:
        """Consume one fact. Within a boot time never runs backwards, whatever the fact says."""
        world = self.world
        is_new_boot = isinstance(fact, told.SiteBegan) and world.boot not in ("", fact.boot)
        at = fact.detected_at if isinstance(fact, FaultRaised) else _instant(fact)
        world.now = at if is_new_boot else max(world.now, at)
        self._due = None
        actions = [*self._consume(fact, is_new_boot=is_new_boot), *site_acts.go_on(world)]
        world.forget_old()
        return sorted(actions, key=lambda action: not isinstance(action, Report))  # These first.

    def deadline(self) -> Instant | None:
        """When `Woke` must next be given, if ever."""
        if self._due is None:
            self._due = (first_due(self.world),)
        return self._due[0]

    def _consume(self, fact: SiteFact, *, is_new_boot: bool) -> list[Action]:
        match fact:
            case FaultRaised():
                return self._own_raised(fact) if site_alarms.is_own(fact) else self._raised(fact)
            case FaultCleared():
                return self._own_over(fact) if site_alarms.is_own(fact) else self._over(fact)
            case HostHeard():
                return self._heard(fact)
            case told.VmsSet():
                return self._vms_set(fact)
            case told.HostSet():
                record = self.world.record(fact.host, fact.name)
                record.name, record.zone = fact.name, fact.zone
                record.rack, record.switch = fact.rack, fact.switch
                return []
            case told.HostLeft():
                return self._left(fact)
            case told.LeadChanged():
                return self._lead(fact)
            case told.AlarmShared():
                return self._shared(fact)
            case IncidentSettled():
                return self._settled(fact)
            case told.SiteBegan():
                return self._began(fact, is_new_boot=is_new_boot)
            case Woke():
                return self._woke()
            case _:  # What befalls VMs is their agents' to tell, and nothing to those.
                return site_acts.take(self.world, fact)

    # What is wrong with a host.

    def _raised(self, fault: FaultRaised) -> list[Action]:
        world = self.world
        record = world.record(fault.subject.id, _host_name(fault))
        before = record.state
        was_planned = before is HostState.STOPPING and _is_loss(fault)
        keeps = site_plans.keeps if was_planned else site_plans.boots
        if keeps(world, record, fault):
            return []
        if was_planned:
            fault = site_plans.overdue(world, record, fault)
            self._move(record, HostEvent.OVERDUE)
        is_milder = fault.effect is Effect.DEGRADED and loss_of(record) is not None
        self._move(record, _event_of(record) if is_milder else _EVENTS[fault.effect])
        is_expected = record.state in (HostState.STOPPING, HostState.SETTLED)
        if is_expected and fault.effect is not Effect.DOOMED:
            return []
        record.boot = fault.boot or record.boot
        over = f"known better: {fault.reason}"
        if fault.effect in LOSS:
            for condition in [c for c, one in record.faults.items() if _is_other_loss(one, fault)]:
                del record.faults[condition]
        record.faults[fault.condition] = fault
        if fault.effect is Effect.DOOMED:
            site_plans.begin(world, record)
        if fault.condition in record.stale:
            record.stale.remove(fault.condition)
        actions: list[Action] = []
        keys: list[str] = []
        is_new_loss = record.state in SILENT and before not in SILENT
        if is_new_loss:
            record.lost_at = world.now
            record.page_at = after(fault.detected_at, timing.PAGE_AFTER_MS)
            keys += site_losses.join(world, record, fault)
        if fault.effect is not Effect.DOOMED:
            actions += site_incidents.open_or_join(world, record, fault)
        actions += site_losses.tell(world, record)
        keys += site_losses.keys(world, record)
        keys += site_alarms.want_host(world, record, over)
        keys += site_losses.others(world, record, over) if is_new_loss else []
        if is_new_loss:
            record.asked = 0
            actions.append(_ask(world, record))
        elif record.ask_at is not None and record.state not in SILENT:
            record.ask_at = min(record.ask_at, after(world.now, timing.WITNESS_LIVES_MS))
        return [*site_alarms.publish(world, keys), *actions]

    def _over(self, fault: FaultCleared) -> list[Action]:
        world = self.world
        record = world.hosts.get(fault.subject.id)
        known = record.faults.get(fault.condition) if record else None
        if record is None or known is None or (fault.boot and known.boot != fault.boot):
            return []
        del record.faults[fault.condition]
        reason = f"retracted: {fault.reason}" if fault.was_wrong else fault.reason
        return self._settle_down(record, reason)

    def _heard(self, heard: HostHeard) -> list[Action]:
        world = self.world
        record = world.record(heard.subject.id, heard.subject.name)
        is_new_boot = record.boot not in ("", heard.boot)
        record.boot, record.was_heard, record.heard_at = heard.boot, True, world.now
        record.ask_at = record.page_at = record.awaited = None
        if is_new_boot and record.vms_boot != heard.boot:
            record.vms, record.vms_boot = (), heard.boot  # Its agent tells what runs now.
            record.given_up = ()
        stale = [c for c, one in record.faults.items() if one.boot not in ("", heard.boot)]
        stale += [c for c, one in record.faults.items() if one.effect in LOSS]
        # Whoever still stops says so with its next pulse.
        stale += [c for c in record.stale if _effect_of(record, c) is Effect.DOOMED]
        for condition in dict.fromkeys(stale):
            del record.faults[condition]
        record.stale = [condition for condition in record.stale if condition in record.faults]
        word = "in a new boot" if is_new_boot else "again"
        told = self._settle_down(record, f"{record.name} pulses {word}")
        return (
            [*told, *site_alarms.end_older_boots(world, record)]
            if is_new_boot and world.term
            else told
        )

    def _settle_down(self, record: HostRecord, reason: str, settled_by: str = "") -> list[Action]:
        """Something is over: the state, alarms and incident are what is left."""
        world = self.world
        event = HostEvent.SETTLE if settled_by else _event_of(record)
        if record.state is not HostState.UNHEARD or event is not HostEvent.IMPAIR:
            self._move(record, event)
        keys: list[str] = []
        if record.state not in SILENT:
            record.lost_at = record.page_at = None
            keys += site_losses.leave(world, record, reason)
        if not record.faults:
            record.ask_at = None
        keys = [*site_alarms.want_host(world, record, reason), *keys]
        reports = site_alarms.publish(world, keys, settled_by=settled_by)
        return [*reports, *site_incidents.close_if_over(world, record, reason)]

    def _move(self, record: HostRecord, event: HostEvent) -> None:
        try:
            record.state = follow(record.state, event)
        except ImpossibleStepError as defect:
            self.world.note_defect(f"{record.name}: {defect}")
        site_plans.look(record)

    # What is wrong with this controller.

    def _own_raised(self, fault: FaultRaised) -> list[Action]:
        self.world.own_faults[fault.condition] = fault
        return list(site_alarms.publish(self.world, [site_alarms.want_own(self.world, fault)]))

    def _own_over(self, fault: FaultCleared) -> list[Action]:
        if self.world.own_faults.pop(fault.condition, None) is None:
            return []
        key = site_alarms.own_key(self.world, fault.condition)
        site_alarms.unwant(self.world, key, fault.reason)
        return list(site_alarms.publish(self.world, [key]))

    # What is told.

    def _vms_set(self, fact: told.VmsSet) -> list[Action]:
        world = self.world
        record = world.record(fact.host)
        if record.boot not in ("", fact.boot) and record.vms_boot == record.boot:
            return []  # Of an earlier boot, late.
        before = {vm.vm for vm in record.vms}
        record.hear(fact)
        if loss_of(record) is None or before == {vm.vm for vm in fact.vms}:
            return []
        keys = site_alarms.want_host(world, record, "it does not run there")
        return list(site_alarms.publish(world, keys))

    def _left(self, fact: told.HostLeft) -> list[Action]:
        record = self.world.hosts.get(fact.host)
        if record is None:
            return []
        record.faults.clear()
        over = f"{record.name} left the site"
        actions = [*self._settle_down(record, over), *site_drains.lift(self.world, fact.host, over)]
        del self.world.hosts[fact.host]
        return actions

    def _lead(self, fact: told.LeadChanged) -> list[Action]:
        """A new leader says what nobody has said yet; what is over it ends when it has listened."""
        world = self.world
        was, world.term = world.term, fact.term
        if fact.term != was:
            world.led_at = world.now
            site_fencing.forget_asked(world)
        if not fact.term or fact.term == was:
            return []
        world.take_over_at = after(world.now, timing.TAKE_OVER_MS)
        return list(site_alarms.publish(world, list(world.wanted)))

    def _shared(self, fact: told.AlarmShared) -> list[Action]:
        world, alarm = self.world, fact.alarm
        keys = site_alarms.adopt(world, alarm)
        if not keys:
            return []
        record = world.hosts.get(alarm.subject.id)
        is_stopping = alarm.condition == "host-stopping" and alarm.state is not AlarmState.CLEARED
        if record is not None and is_stopping and record.boot in ("", _boot_in(alarm.key)):
            self._move(record, HostEvent.PLAN)
            site_plans.begin(world, record)
        settled_by = alarm.details.get("settled_by", "")
        if record is not None and settled_by:
            return self._settled_elsewhere(record, alarm, settled_by)
        # What another alone believes is its own to take back.
        ours = [key for key in keys if world.term and key in world.wanted]
        return list(site_alarms.publish(world, ours))

    def _settled_elsewhere(self, record: HostRecord, alarm: Alarm, by: str) -> list[Action]:
        """A person dealt with a silence, which is then dealt with here; or with one fault, and of
        what is believed here beside it that person knew nothing."""
        is_stop = record.state is HostState.STOPPING and alarm.condition == "host-stopping"
        is_loss = record.state in SILENT and alarm.condition in site_alarms.OF_LOSS
        if (is_stop or is_loss) and record.boot in ("", _boot_in(alarm.key)):
            record.faults.clear()
            return self._settle_down(record, alarm.text, by)
        known = record.faults.get(alarm.condition)
        if known is None or site_alarms.key_of(known) != alarm.key:
            return []
        del record.faults[alarm.condition]
        return self._settle_down(record, alarm.text)

    def _settled(self, fact: IncidentSettled) -> list[Action]:
        actions: list[Action] = []
        for record in list(self.world.hosts.values()):
            if fact.incident and record.incident == fact.incident:
                record.faults.clear()
                actions += self._settle_down(record, f"{fact.by} settled it", fact.by)
        return actions

    def _began(self, fact: told.SiteBegan, *, is_new_boot: bool) -> list[Action]:
        """What this controller had said is said again, should it have been lost on the way."""
        world = self.world
        world.controller, world.boot, world.term = fact.controller, fact.boot, 0
        if is_new_boot:
            site_losses.begin_anew(world)
            for record in world.hosts.values():
                self._move(record, HostEvent.FORGET)
        world.held.clear()
        world.take_over_at = after(world.now, timing.TAKE_OVER_MS)
        world.began_at = world.now
        site_fencing.forget_asked(world)
        for record in world.hosts.values():
            record.was_heard = record.was_heard and record.state in SILENT  # And missed: no boot.
            record.stale = [c for c, one in record.faults.items() if not _is_loss(one)]
        own = [site_alarms.own_key(world, condition) for condition in world.own_faults]
        world.own_faults.clear()
        for key in own:
            site_alarms.unwant(world, key, "this controller was started anew")
        mine = [a for key, a in world.reported.items() if a.host == fact.controller]
        again = [alarm for alarm in mine if world.is_open(alarm.key) and alarm.key not in own]
        return [*[Report(alarm=alarm) for alarm in again], *site_alarms.publish(world, own)]

    def _woke(self) -> list[Action]:
        world = self.world
        due = [key for key, at in world.held.items() if at <= world.now]
        actions: list[Action] = list(site_alarms.publish(world, due))
        for record in list(world.hosts.values()):
            back_by = site_plans.due(record)
            if record.awaited is not None and back_by is not None and back_by <= world.now:
                actions += self._raised(record.awaited)
                record.page_at = world.now  # It has been waited for long enough.
            if record.page_at is not None and record.page_at <= world.now:
                record.page_at = None
                actions += self._page(record)
            if record.ask_at is not None and record.ask_at <= world.now:
                actions.append(_ask(world, record))
        if world.take_over_at is not None and world.take_over_at <= world.now:
            world.take_over_at = None
            actions += self._take_over()
        return actions

    def _page(self, record: HostRecord) -> list[Action]:
        """Nobody here can find out more: it is a person's from now on."""
        held = record.fencing.held if record.fencing is not None else ""
        why = f"it is not switched off: {held}; " if held else ""
        silent = f"silent for {spoken(timing.PAGE_AFTER_MS)}"
        text = f"{silent}: {why}whether it is dead, a person must see"
        if not why and brakes.is_under_way(self.world, record):
            text = f"{silent}: it is being switched off, and nothing has shown it off yet"
        return site_incidents.page(self.world, record.incident, text)

    def _take_over(self) -> list[Action]:
        """End what an earlier leader, or this controller before a restart, said and is over."""
        world = self.world
        mine = [
            key
            for key, alarm in world.reported.items()
            if alarm.host == world.controller or (world.term and "term" in alarm.details)
        ]
        reports = site_alarms.publish(world, [key for key in mine if key not in world.wanted])
        actions: list[Action] = list(reports)
        for record in world.hosts.values():
            stale = [c for c in record.stale if _effect_of(record, c) is not Effect.DOOMED]
            record.stale = [c for c in record.stale if c not in stale]
            for condition in stale:
                record.faults.pop(condition, None)
            if stale:
                actions += self._settle_down(record, "nothing of it is found any more")
            actions += site_incidents.close_if_over(
                world, record, "nothing of it is found any more"
            )
        return actions


def _instant(fact: SiteFact) -> Instant:
    return getattr(fact, "at", Instant(0))


def _is_loss(fault: FaultRaised) -> bool:
    return fault.effect in LOSS


def _is_other_loss(known: FaultRaised, fault: FaultRaised) -> bool:
    return _is_loss(known) and known.condition != fault.condition


def _effect_of(record: HostRecord, condition: str) -> Effect | None:
    known = record.faults.get(condition)
    return known.effect if known else None


def _event_of(record: HostRecord) -> HostEvent:
    """What the worst of its open faults makes of it."""
    effects = {one.effect for one in record.faults.values()}
    return next((event for effect, event in _EVENTS.items() if effect in effects), HostEvent.HEARD)


def _ask(world: SiteWorld, record: HostRecord) -> AskWitnesses:
    lives = record.state not in SILENT
    record.ask_at = after(world.now, timing.witness_again_ms(record.asked, lives=lives))
    record.asked += 1
    return AskWitnesses(incident=record.incident, host=record.host, boot=record.boot)


def _host_name(fault: FaultRaised) -> str:
    """A fault of its agent names the agent, not the host."""
    return fault.subject.name if fault.subject.kind.value == "host" else ""


def _boot_in(key: str) -> str:
    return key.rpartition(":")[0].rpartition("/")[2]
