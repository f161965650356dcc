"""Rogues of a simulated site: what nobody may do, done by hand past the program.

They write to the store as its leader would, order BMCs from a controller, and start and boot what
they like, so that each law can be seen to be broken, and to hold where it must.
"""

import contextlib
from contextlib import AbstractAsyncContextManager

from msgspec import structs

from holdfast.adapters.simulated.bmc import SimulatedFencer
from holdfast.controller.registry import Puts
from holdfast.facts.fencing import Fence, FenceStep
from holdfast.facts.recoveries import Recovery, RecoveryStep
from holdfast.facts.tenure import DeathProof, ProofKind
from holdfast.ports.fencer import FenceFailed
from tests.simulation.controllers import SimulatedController
from tests.simulation.people import People
from tests.simulation.site_stage import SiteStage

WAIT_MS = 3_000.0


class ReportingController(SimulatedController):
    """It reports, and does nothing about any host: what is done here, a rogue does."""

    def make_acting(self) -> None:
        self.watch.recover = lambda _action: None

    def hold_power(self, _host: str) -> AbstractAsyncContextManager[str]:
        return contextlib.nullcontext("")


class Rogue:
    def __init__(self, stage: SiteStage) -> None:
        self._stage, self._site = stage, stage.site

    def fence(self, host: str, step: FenceStep = FenceStep.INTENDED, number: int = 1) -> Fence:
        made = Fence(
            host=host,
            name=host,
            boot=self._site.hosts[host].machine.boot,
            incident="",
            number=number,
            term=1,
            step=step,
            reason="a rogue says so",
        )
        return made if step is FenceStep.INTENDED else structs.replace(made, proof=proof_of(made))

    def commit_fence(self, fence: Fence) -> None:
        self._put({f"fences/{fence.host}": fence})

    def commit_recovery(self, vm: str, source: Fence, target: str, generation: int = 2) -> None:
        self.commit_start(vm, proof_of(source), target, generation)

    def commit_start(self, vm: str, proof: DeathProof, target: str, generation: int = 2) -> None:
        """By whatever proof, of whatever it says."""
        one = self._site.host_of(vm).machine.vms.vms[vm]
        made = Recovery(
            vm=one.uuid,
            name=vm,
            generation=generation,
            incident="",
            source=proof.host,
            target=target,
            target_boot=self._site.hosts[target].machine.boot,
            proof=proof,
            term=1,
            step=RecoveryStep.PLACED,
        )
        self._put({f"recoveries/{one.uuid}": made})

    def order_off(self, fence: Fence, by: str) -> None:
        """By the controller on that host, whatever it is or the store says. Raises LawBroken."""
        site = self._site
        fencer = SimulatedFencer(site.hosts[by].machine, site.bmcs)
        device = site.bmcs.device(site.bmcs.of(fence.host)[0])

        async def order() -> None:
            try:
                await fencer.switch_off(fence, device)
            except FenceFailed:
                return

        site.hosts[by].machine.loops["controller"].create_task(order())
        self._stage.advance(WAIT_MS)

    def begin(self, vm: str, on: str, generation: int) -> None:
        """Raises LawBroken."""
        self._site.define(vm, on)
        self._site.hosts[on].machine.vms.begin(vm, generation)
        self._stage.advance(100)

    def boot(self, host: str) -> None:
        """Raises LawBroken."""
        self._site.hosts[host].machine.boot_again()
        self._stage.advance(200)

    def _put(self, puts: Puts) -> None:
        People(self._stage).put(puts)


def proof_of(fence: Fence) -> DeathProof:
    return DeathProof(
        kind=ProofKind.POWER,
        host=fence.host,
        boot=fence.boot,
        earlier=fence.earlier,
        shown=("a rogue says so",),
    )
