"""How this host mends itself: which ladders it knows, and each step by its mender, in its limit."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from holdfast.adapters.sensors.guarded_processes import GuardedProcesses
from holdfast.adapters.sensors.repaired_parts import RepairedParts
from holdfast.agent.loop import now
from holdfast.facts import actions as act
from holdfast.facts import outcomes as came
from holdfast.facts import wire
from holdfast.facts.commands import LaddersSet
from holdfast.facts.hardware import is_part
from holdfast.facts.instants import Instant
from holdfast.facts.outcomes import Outcome
from holdfast.facts.settings import Settings
from holdfast.facts.subjects import Subject, SubjectKind
from holdfast.policy.hand_overs import handed_over
from holdfast.policy.hardware_ladders import hardware_ladders
from holdfast.policy.process_ladders import ladders_of
from holdfast.policy.vswitch_ladders import with_switch
from holdfast.policy.world import World
from holdfast.ports.mender import Mender, MendFailed
from holdfast.ports.plugins import UnknownPlugin, load
from holdfast.ports.sensor import Sensor

log = logging.getLogger(__name__)

PACKAGE = "holdfast.adapters.menders"
END_MARKS = "stopped"  # In run_dir: what was stopped on purpose, one file for each process.


def _marks(settings: Settings) -> Path:
    return Path(settings.run_dir) / END_MARKS


def ladders_set(settings: Settings, at: Instant) -> LaddersSet:
    """The repairs that this host's settings ask for, as policy hears of them."""
    marks = str(_marks(settings))
    ladders = with_switch(
        ladders_of(settings.processes, marks),
        marks,
        repair=settings.mends_vswitch,
        runs_an_hour=settings.vswitch_repairs_an_hour,
    )
    hardware = hardware_ladders(settings.hardware.repair)
    return LaddersSet(at=at, ladders=(*ladders, *hardware))


def load_mender(name: str) -> Mender:
    """Raises UnknownPlugin."""
    made: Mender = load(PACKAGE, name)()
    return made


class Mending:
    """A step that overruns is cancelled, and what it left is ended by its mender. `own` are menders
    that need what only the agent has."""

    def __init__(
        self,
        settings: Settings,
        world: Callable[[], World] = World,
        find: Callable[[str], Mender] = load_mender,
        own: Mapping[str, Mender] | None = None,
    ) -> None:
        self._find, self._world, self._own = find, world, own or {}
        self._processes = GuardedProcesses(settings.processes, _marks(settings))
        self._parts = RepairedParts()
        self.sensors: tuple[Sensor, ...] = (self._processes, self._parts)

    def look_again(self, subject: Subject) -> None:
        """A repair may have helped: those who see it look at once."""
        if subject.kind is SubjectKind.PROCESS:
            self._processes.look_again(subject.id)
        elif is_part(subject):
            for mend in self._world().mends.open.values():
                if mend.fault.subject == subject:
                    self._parts.look_again(subject, mend.fault.evidence)

    def parts(self) -> tuple[wire.HostPart, ...]:
        """What is watched here and may be mended, and what came of each step that was tried."""
        world, states = self._world(), self._processes.shown()
        mends, over = world.mends, handed_over(world)
        return tuple(
            wire.HostPart(
                name=name,
                state=states.get(name, ""),
                repairs=dict(mends.counts.get(name, {})),
                handed_over=over[name].reason if name in over else "",
                advice=over[name].advice if name in over else "",
            )
            for name in sorted({*states, *mends.counts, *over})
        )

    async def try_step(self, asked: act.TryRepair) -> Outcome:
        limit_s = asked.limit_ms / 1_000
        try:
            name = asked.step.mender
            mender = self._own.get(name) or self._find(name)
            async with asyncio.timeout(limit_s):
                said = await mender.mend(asked)
        except TimeoutError:
            return _failed(asked, f"it was ended after {limit_s:g} s", overran=True)
        except (MendFailed, UnknownPlugin) as error:
            return _failed(asked, str(error))
        except Exception as error:
            log.exception("the mender %s: a defect of ours", asked.step.mender)
            return _failed(asked, f"a defect: {error}")
        return came.StepDone(
            incident=asked.incident, at=now(), key=asked.key, number=asked.number, said=said
        )


def _failed(asked: act.TryRepair, reason: str, *, overran: bool = False) -> came.StepFailed:
    return came.StepFailed(
        incident=asked.incident,
        at=now(),
        key=asked.key,
        number=asked.number,
        reason=reason,
        overran=overran,
    )
