"""Controllers that fence and recover as nobody may, one for each law, given to the swarm.

Rogues act past the program, from its own knowledge of who is silent, once for each host; in the
others a part of the program is exchanged.
"""

import asyncio
import contextlib
from typing import Any

from holdfast.adapters.simulated.bmc import Bmcs, SimulatedFencer
from holdfast.facts.actions import Action, Report, RestartElsewhere, TakeBack
from holdfast.facts.fencing import Fence, FenceDevice, FenceStep
from holdfast.facts.site import SiteFact
from holdfast.facts.subjects import SubjectKind
from holdfast.facts.tenure import DeathProof, ProofKind
from holdfast.policy.host_states import SILENT, HostState
from holdfast.policy.site import SiteDecider
from holdfast.ports.fencer import FenceFailed
from holdfast.ports.store import StoreAway
from tests.simulation import fence_laws
from tests.simulation.controllers import SimulatedController
from tests.simulation.rogues import ReportingController
from tests.simulation.site_mutants import Mutant, deciding


class RogueController(ReportingController):
    """It fences whoever is silent, whatever people have said, if it leads."""

    commits, states = True, frozenset(SILENT)

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._fenced: set[str] = set()
        self._at_work: set[asyncio.Task[None]] = set()

    async def _settle(self) -> None:
        await super()._settle()
        if self.decider is None or not self.may_act():
            return
        for record in self.decider.world.hosts.values():
            is_new = record.host not in self._fenced and self.registry.fencing(record.host).devices
            if record.state in self.states and is_new:
                self._fenced.add(record.host)
                task = asyncio.create_task(self._fence(record.host))
                self._at_work.add(task)
                task.add_done_callback(self._at_work.discard)

    def may_act(self) -> bool:
        return self._term() is not None

    async def _fence(self, host: str) -> None:
        known = self.registry.known(host)
        if known is None:
            return
        fence = Fence(
            host=host,
            name=host,
            boot=known.boot,
            incident="",
            number=1,
            term=self._term() or 0,
            step=FenceStep.INTENDED,
            reason="it is silent",
        )
        with contextlib.suppress(StoreAway, FenceFailed):
            if self.commits:
                await self.registry.change(lambda: {f"fences/{host}": fence})
            await self.act(fence)

    async def act(self, fence: Fence) -> None:
        """Raises FenceFailed."""
        await self.fencer.switch_off(fence, self.registry.fencing(fence.host).devices[0])


class HastyController(RogueController):
    """What it does is in no store."""

    commits = False


class UsurpingController(HastyController):
    """It acts because it does not lead."""

    def may_act(self) -> bool:
        return self._term() is None


class MurderousController(RogueController):
    """Whoever serves well is fenced."""

    states = frozenset({HostState.SERVING})


class RevivingController(RogueController):
    """It has hosts booted instead of switched off."""

    async def act(self, fence: Fence) -> None:
        machine = self.bmcs.of(fence.host)[0].of
        if not machine.is_up:
            machine.boot_again()


class BelievingFencer(SimulatedFencer):
    """What it told a BMC it believes to be done: it never reads the power back."""

    async def switch_off(self, fence: Fence, device: FenceDevice) -> DeathProof:  # noqa: ARG002
        return DeathProof(
            kind=ProofKind.POWER, host=fence.host, boot=fence.boot, earlier=fence.earlier
        )


class BelievingController(SimulatedController):
    def make_fencer(self, bmcs: Bmcs) -> SimulatedFencer:
        return BelievingFencer(self.machine, bmcs)


class AbsentMindedDecider(SiteDecider):
    """It places VMs of dead hosts, has none of them started, and says nothing of it."""

    def step(self, fact: SiteFact) -> list[Action]:
        return [action for action in super().step(fact) if not _is_about_a_start(action)]


def _is_about_a_start(action: Action) -> bool:
    if isinstance(action, Report):
        return action.alarm.subject.kind is SubjectKind.VM
    return isinstance(action, RestartElsewhere | TakeBack)


SILENCES = {"freeze {host}": 4, "power-cut {host}": 2, "isolate {host}": 1}
PAUSES = {"pauses": ("2 s", "4 s")}


def rogue(kind: type[SimulatedController]) -> dict[str, Any]:
    return {"make_controller": kind, **PAUSES}


MUTANTS = (
    Mutant(
        "a host is fenced that is only to be reported",
        "which it is only to report",
        rogue(RogueController),
        {**SILENCES, "report-only {host}": 6},
    ),
    Mutant(
        "a host is fenced while people have disarmed it",
        "while people have disarmed it",
        rogue(RogueController),
        {**SILENCES, "disarm 1 min": 4},
    ),
    Mutant(
        "a controller fences that does not lead",
        " leads",
        rogue(UsurpingController),
        SILENCES,
    ),
    Mutant(
        "all hosts that are silent are fenced",
        "too many",
        rogue(RogueController),
        SILENCES,
    ),
    Mutant(
        "a host is fenced before that is committed",
        fence_laws.UNCOMMITTED,
        rogue(HastyController),
        SILENCES,
    ),
    Mutant(
        "a host is fenced that everybody hears",
        fence_laws.HEARD,
        rogue(MurderousController),
        {"bmc {host} half": 1},
    ),
    Mutant(
        "a host is booted by its fence",
        fence_laws.ONLY_OFF,
        rogue(RevivingController),
        {"power-cut {host}": 1},
    ),
    Mutant(
        "a host is believed to be off without a look",
        "nothing is confirmed that lives",
        {"make_controller": BelievingController, "pauses": ("4 s", "10 s")},
        {"isolate {host}": 3, "mend": 1},
    ),
    Mutant(
        "a VM of a dead host is forgotten",
        fence_laws.RESTORED,
        {"make_controller": deciding(AbsentMindedDecider), "pauses": ("4 s", "10 s")},
        {"power-cut {host}": 1},
    ),
)
