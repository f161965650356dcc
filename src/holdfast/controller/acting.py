"""Acting on hosts put together: the store tells the watch, and what follows is carried out."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from holdfast.controller.agents import Agents
from holdfast.controller.groups import Groups
from holdfast.controller.hearing import Hearing
from holdfast.controller.leadership import Leadership
from holdfast.controller.lease_proofs import LeaseProofs
from holdfast.controller.leasing import Leasing
from holdfast.controller.migrating import ACTS, Migrating
from holdfast.controller.migration_questions import MigrationQuestions
from holdfast.controller.recovering import Recoverer
from holdfast.controller.registry import Registry
from holdfast.controller.site_feed import SiteFeed
from holdfast.controller.stale_disks import StaleDisks
from holdfast.controller.watch import Watch
from holdfast.facts.actions import Action
from holdfast.facts.commands import RecoveryAsked
from holdfast.facts.events import EventKind
from holdfast.facts.fencing import FenceStep
from holdfast.policy import brakes, site_recovery
from holdfast.ports import clock

if TYPE_CHECKING:
    from holdfast.controller.assembly import Controller

FENCES = "fences/"


def make_recoverer(one: "Controller") -> Recoverer:
    """The watch hands it what it decides, and hears what came of it."""
    registry, watch = one.registry, one.watch
    world = watch.decider.world

    def hindrance(host: str) -> str:
        record = world.hosts.get(host)
        return brakes.hindrance(world, record) if record is not None else ""

    recoverer = Recoverer(
        registry=registry,
        agents=one.agents,
        fencer=one.fencer,
        term=lambda: one.leadership.term,
        consume=watch.take,
        fault_age_ms=watch.fault_age_ms,
        hindrance=hindrance,
        leases=lease_proofs(registry, one.leasing),
    )
    watch.recover = recoverer.carry_out
    SiteFeed(registry, watch.take, world)

    def fence_changed(key: str) -> None:
        """While its power was to go off, a host was granted nothing."""
        host = key.removeprefix(FENCES)
        fence = registry.fence(host) if key.startswith(FENCES) else None
        if fence is not None and fence.step is not FenceStep.INTENDED:
            one.greeter.grant_anew(host)

    registry.on_change.append(fence_changed)
    return recoverer


def _recoverer_of(one: "Controller") -> Callable[[str, str], dict[str, Any] | None]:
    world = one.watch.decider.world

    def recover_elsewhere(vm: str, by: str) -> dict[str, Any] | None:
        """Raises Unanswerable."""
        if not site_recovery.is_waiting(world, vm):
            return None
        one.leadership.must_lead()
        one.watch.take(RecoveryAsked(at=clock.now(), vm=vm, by=by))
        starting = world.starting.get(vm)
        held_up = starting.obstacle if starting is not None else ""
        source = world.hosts.get(world.promises[vm].protection.tenure.host)
        incident = source.incident if source is not None else ""
        return {"state": held_up or "is to be started elsewhere", "incident": incident}

    return recover_elsewhere


def lease_proofs(registry: Registry, leasing: Leasing) -> LeaseProofs:
    """Who waits for a lease to end, and who says before how long that is, count alike."""
    return LeaseProofs(registry, leasing.granted_at, leasing.note_over)


class Parts(Protocol):
    """What a controller has, of those that leases need."""

    registry: Registry
    agents: Agents
    hearing: Hearing
    watch: Watch
    groups: Groups

    @property
    def leadership(self) -> Leadership: ...


def make_leasing(one: Parts, kind: type[Leasing] = Leasing) -> Leasing:
    """Granted is who the watch believes to live."""
    world = one.watch.decider.world

    def lives(host: str) -> bool:
        record = world.hosts.get(host)
        return record is not None and record.pulses

    return kind(
        registry=one.registry,
        agents=one.agents,
        grant=one.hearing.grant,
        leadership=one.leadership,
        lives=lives,
        may_rely=one.groups.may_rely,
    )


def make_migrating(one: "Controller") -> Migrating:
    """Beside the recoverer; and let the controller answer what is asked about migrations."""

    def say(text: str) -> None:
        one.events.note(EventKind.HOST, text)

    StaleDisks(one.registry, say)
    migrating = Migrating(
        registry=one.registry,
        agents=one.agents,
        term=lambda: one.leadership.term,
        consume=one.watch.take,
        greet_anew=one.greeter.grant_anew,
        say=say,
    )

    def carry_out(action: Action) -> None:
        who = migrating if isinstance(action, ACTS) else one.recoverer
        who.carry_out(action)

    one.watch.recover = carry_out
    one.questions.recover_elsewhere = _recoverer_of(one)
    questions = MigrationQuestions(
        registry=one.registry,
        agents=one.agents,
        hosts=one.hosts,
        leadership=one.leadership,
        migrating=migrating,
        world=one.watch.decider.world,
        say=say,
    )
    one.questions.add(questions.handlers())
    return migrating
