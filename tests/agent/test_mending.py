"""Steps of a repair are carried out within their limit, and always end with a word for policy.

covers: H1
"""

import asyncio

from msgspec.structs import replace

from holdfast.adapters.simulated.mender import MenderInMemory
from holdfast.agent.mending import Mending, ladders_set
from holdfast.facts.actions import TryRepair
from holdfast.facts.guards import READY_MADE
from holdfast.facts.instants import Instant
from holdfast.facts.outcomes import StepDone, StepFailed
from holdfast.facts.settings import Settings
from holdfast.policy.mends import Mend, MendStage
from holdfast.policy.world import World
from holdfast.ports.mender import Mender
from tests.adapters.contract_mender import asked
from tests.policy.ladder_scene import ladder, raised


class Broken:
    """A mender with a defect of ours, or one that never ends."""

    def __init__(self, *, hangs: bool = False) -> None:
        self._hangs = hangs

    async def mend(self, asked: TryRepair) -> str:
        if self._hangs:
            await asyncio.sleep(60)
        raise KeyError(asked.step.name)


def tried(mender: Mender, limit_ms: int = 1_000) -> StepDone | StepFailed:
    mending = Mending(Settings(), find=lambda _: mender)
    outcome = asyncio.run(mending.try_step(asked((), limit_ms)))
    assert isinstance(outcome, StepDone | StepFailed)
    assert (outcome.key, outcome.number) == ("k", 1)
    return outcome


def test_what_was_done_and_why_it_was_not_is_said() -> None:
    mender = MenderInMemory()
    done = tried(mender)
    assert isinstance(done, StepDone)
    assert done.said == "did restart"
    mender.refusal = "the disk is full"
    failed = tried(mender)
    assert isinstance(failed, StepFailed)
    assert (failed.reason, failed.overran) == ("the disk is full", False)


def test_a_step_that_hangs_is_ended_at_its_limit_also_by_a_mender_that_does_not() -> None:
    mender = MenderInMemory()
    mender.hangs = True
    for one in (mender, Broken(hangs=True)):
        overran = tried(one, limit_ms=50)
        assert isinstance(overran, StepFailed)
        assert (overran.reason, overran.overran) == ("it was ended after 0.05 s", True)


def test_a_defect_of_ours_and_an_unknown_mender_leave_nobody_waiting() -> None:
    failed = tried(Broken())
    assert isinstance(failed, StepFailed)
    assert failed.reason == "a defect: 'restart'"
    order = asked(())
    unknown = replace(order, step=replace(order.step, mender="hammer"))
    outcome = asyncio.run(Mending(Settings()).try_step(unknown))
    assert isinstance(outcome, StepFailed)
    assert "there is no menders named 'hammer'" in outcome.reason


def test_what_the_settings_name_is_what_policy_hears_of() -> None:
    settings = Settings(run_dir="/run/x", processes=(READY_MADE["virtlogd"],))
    told, *hardware = ladders_set(settings, Instant(7)).ladders
    assert {one.condition for one in hardware} == {"memory-corrected"}
    assert (told.subject, told.steps[0].args) == ("virtlogd", ("virtlogd.service",))


def test_what_was_handed_over_is_part_of_what_the_host_says_of_itself() -> None:
    world = World()
    fault = raised(1.0)
    mend = Mend(key="k", fault=fault, ladder=ladder(), incident="i", due=Instant(9))
    mend.stage = MendStage.HANDED_OVER
    world.mends.open["k"] = mend
    world.mends.counts["nova"] = {"restart: failed": 2}
    [part] = Mending(Settings(), lambda: world).parts()
    assert (part.name, part.handed_over, part.repairs) == (
        "nova",
        "nova is gone",
        {"restart: failed": 2},
    )
