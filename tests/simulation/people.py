"""What people tell the controller that leads; they wait for its answer, and believe that."""

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import structs

from holdfast.adapters.simulated.clock import UTC_NS
from holdfast.controller import instance_wishes
from holdfast.controller.disk_wishes import NO_WISH, DiskWish
from holdfast.controller.instance_wishes import InstanceWish
from holdfast.controller.registry import Puts
from holdfast.controller.settling import settle
from holdfast.facts import wire
from holdfast.facts.fencing import HostMode
from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.migrations import Prediction
from holdfast.ports.answers import Unanswerable
from holdfast.ports.store import StoreAway
from tests.simulation.controllers import SimulatedController
from tests.simulation.site_stage import SiteStage

STEP_MS, LIMIT_MS = 10.0, 15_000.0
WHO = "ann"
Ask = Callable[[SimulatedController, int], Awaitable[Any]]


class NotDone(Exception):
    """Nobody leads, it was refused, or no answer came: a sentence."""


class People:
    def __init__(self, stage: SiteStage) -> None:
        self._stage, self._truth = stage, stage.fences.truth

    def uuid_of(self, vm: str) -> str:
        return self._stage.site.host_of(vm).machine.vms.vms[vm].uuid

    def act(self, host: str, mode: HostMode, dump_wait_s: int = 0) -> None:
        """Raises NotDone."""
        devices = self._stage.site.bmcs.ladder(host)

        async def ask(leader: SimulatedController, _term: int) -> None:
            def wanted() -> Puts:
                held = leader.registry.fencing(host)
                now = structs.replace(
                    held, mode=mode, devices=devices, dump_wait_s=dump_wait_s, set_by=WHO
                )
                return {f"fencing/{host}": now}

            await leader.registry.change(wanted)

        self._truth.mode_asked(host, mode)
        self._ask(ask)
        self._truth.mode_set(host, mode)

    def protect(
        self, vm: str, group: str = "", answers: str = "", wish: DiskWish = NO_WISH
    ) -> None:
        """Raises NotDone."""
        self._ask(lambda one, term: one.promises.protect(vm, group, answers, WHO, term, wish=wish))

    def unprotect(self, vm: str) -> None:
        """Raises NotDone."""
        self._ask(lambda one, term: one.promises.unprotect(vm, WHO, term))

    def set_group(self, name: str, **options: Any) -> None:
        """Raises NotDone."""
        self._ask(lambda one, term: one.groups.set({"name": name, **options}, WHO, term))

    def set_template(self, group: str, wish: InstanceWish) -> None:
        """Raises NotDone."""

        async def ask(leader: SimulatedController, _term: int) -> None:
            registry = leader.registry
            instance_wishes.check(registry, group, wish)
            for name in wish.remove:
                self._stage.laws.vm_may_end(self._stage.site.host_of(name), name)
            await registry.change(lambda: instance_wishes.apply(registry, group, wish, WHO))

        self._ask(ask)

    def disarm(self, for_ms: float) -> None:
        """Raises NotDone."""
        args = {"seconds": for_ms / 1_000, "reason": "a switch is replaced"}
        utc_ms = (UTC_NS + self._stage.site.clock.now) // NS_PER_MS
        self._ask(lambda one, term: one.groups.disarm(args, WHO, term))
        self._truth.disarmed(utc_ms + round(for_ms))

    def arm(self) -> None:
        """Raises NotDone."""
        self._truth.armed()
        self._ask(lambda one, term: one.groups.arm(WHO, term))

    def confirm_dead(self, host: str) -> None:
        """A person answers for it, after they saw what is known of its life. Raises NotDone."""
        args = {"host": host, "confirmed": host, "because": "its rack burns"}
        self._truth.confirmed_dead(host)
        self._ask(lambda one, term: one.confirming.ask(args, WHO, term))

    def settle(self, host: str, *, leave_down: bool = False) -> None:
        """The incident of that host. Raises NotDone."""

        async def ask(leader: SimulatedController, _term: int) -> None:
            record = leader.watch.decider.world.hosts[host]
            settle(leader.watch, record.incident, WHO, leave_down=leave_down)

        self._ask(ask)

    def predict(self, host: str, reason: str) -> None:
        """Without a reason it is taken back. Raises NotDone."""
        one = Prediction(host=host, name=host, reason=reason, by=WHO) if reason else None
        self._truth.to_be_left.add(host)
        self.put({f"predictions/{host}": one})

    def move(self, vm: str, to: str = "", limit_s: int = 300) -> None:
        """Raises NotDone."""
        self._truth.to_be_moved.add(vm)
        self._ask_about("vm-migrate", {"vm": vm, "to": to, "timeout_s": limit_s})

    def cancel_move(self, vm: str) -> None:
        """Raises NotDone."""
        self._ask_about("vm-migrate-cancel", {"vm": vm})

    def drain(self, host: str) -> None:
        """Raises NotDone."""
        self._truth.to_be_left.add(host)
        self._ask_about("host-drain", {"host": host})
        self._truth.drained[host] = self._stage.site.clock.now

    def undrain(self, host: str) -> None:
        """Raises NotDone."""
        self._truth.drained.pop(host, None)
        self._ask_about("host-undrain", {"host": host})

    def show_drain(self, host: str) -> list[str]:
        """What each VM that is still there waits for. Raises NotDone."""
        told = self._ask_about("drain", {"host": host})
        return [f"{vm['name']} {_leaving(vm)}" for vm in told["vms"]]

    def show_move(self, vm: str) -> str:
        """Raises NotDone."""
        told = self._ask_about("migration", {"vm": vm})
        why = f": {told['reason']}" if told["reason"] else ""
        return f"move {told['number']} of {vm} to {told['target']} is {told['step']}{why}"

    def _ask_about(self, name: str, args: dict[str, Any]) -> Any:
        """Raises NotDone."""
        told: list[Any] = []

        async def ask(leader: SimulatedController, term: int) -> None:
            asked = wire.Question(id=0, name=name, args=args, by=WHO, term=term)
            told.append(await leader.on_moves[name](asked))

        self._ask(ask)
        return told[0]

    def put(self, puts: Puts) -> None:
        """Past all that the program would ask first. Raises NotDone."""
        self._ask(lambda one, _term: one.registry.change(lambda: puts))

    def _ask(self, ask: Ask) -> None:
        """Raises NotDone."""
        stage = self._stage
        leader = next((one for one in stage.site.controllers.values() if one.leads()), None)
        if leader is None or leader.leadership is None:
            raise NotDone("no controller leads")
        process = leader.machine.loops["controller"]
        leadership, failed = leader.leadership, [""]

        async def work() -> None:
            try:
                await ask(leader, leadership.term or 0)
            except Unanswerable as error:
                failed[0] = f"{error} -> {error.hint}" if error.hint else str(error)
            except StoreAway as error:
                failed[0] = str(error) or "it was refused"

        task, waited_ms = process.create_task(work()), 0.0
        while not task.done() and waited_ms < LIMIT_MS:
            stage.advance(STEP_MS)
            waited_ms += STEP_MS
        if not task.done() or task.cancelled():
            raise NotDone("no answer came")
        if failed[0]:
            raise NotDone(failed[0])


def _leaving(vm: dict[str, Any]) -> str:
    if vm["moves"] is not None:
        return f"moves to {vm['moves']['target']}"
    return f"stays: {vm['stays']}" if vm["stays"] else "waits for its turn"
