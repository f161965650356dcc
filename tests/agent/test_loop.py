"""The loop outlives defects of ours: each is counted and costs one input, or one action."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from holdfast.adapters.simulated.journal import JournalInMemory
from holdfast.agent.loop import Loop, now
from holdfast.detectors.panel import Panel
from holdfast.facts.actions import Action
from holdfast.facts.commands import Disarmed, GroupSet, Woke
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.observations import LibvirtGone, Observation
from holdfast.facts.promises import Disarm, Group
from holdfast.facts.verdicts import Verdict
from holdfast.policy.decide import Decider, Input
from holdfast.ports.defects import Defects, LoggedPanel
from tests.agent.scene import wait_for


class Failing(Decider):
    """A policy with a defect: it fails at what it is told to fail at."""

    def __init__(self, fails: Callable[[Input], bool]) -> None:
        super().__init__()
        self.fails = fails
        self.wakes = 0

    def step(self, fact: Input) -> list[Action]:
        self.wakes += isinstance(fact, Woke)
        if self.fails(fact):
            raise KeyError("a defect")
        return super().step(fact)


class Sick:
    """A detector with a defect."""

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        raise ZeroDivisionError(seen)

    def wake(self, now: Instant) -> Iterable[Verdict]:
        raise RuntimeError(now)

    def deadline(self) -> Instant | None:
        return None


def loop_of(
    decider: Decider, act: Callable[[Action], Any] = lambda _: None, panel: Panel | None = None
) -> Loop:
    defects = Defects()
    journal = JournalInMemory(1, lambda: b"{}")
    return Loop(LoggedPanel(panel or Panel({}), defects), decider, journal, act, defects)


def disarmed(ms: int) -> Disarmed:
    at = now()
    disarm = Disarm(owner="me", reason="upgrade", since_utc_ms=0, until_utc_ms=1)
    return Disarmed(at=at, disarm=disarm, until=Instant(at + ms * NS_PER_MS))


def test_a_defect_of_policy_costs_one_input() -> None:
    async def story() -> None:
        loop = loop_of(Failing(lambda fact: isinstance(fact, Disarmed)))
        loop.consume(disarmed(60_000))
        loop.consume(GroupSet(at=now(), group=Group(name="one")))
        assert loop.defects.counts == {"policy: KeyError": 1}
        assert "one" in loop.decider.world.groups
        loop.close()

    asyncio.run(story())


@pytest.mark.slow
def test_the_timer_is_armed_again_after_a_defect() -> None:
    async def story() -> None:
        policy = Failing(lambda fact: isinstance(fact, Woke))
        loop = loop_of(policy)
        loop.consume(disarmed(5))
        await wait_for(lambda: loop.defects.counts.get("policy: KeyError"), "the defect")
        policy.fails = lambda _: False
        await wait_for(lambda: policy.world.disarm is None, "it is woken again")
        assert policy.wakes < 10, "what fails at once is not tried without a pause"
        loop.close()

    asyncio.run(story())


class Twice(Decider):
    """A policy that asks for everything twice within one turn."""

    def step(self, fact: Input) -> list[Action]:
        return super().step(fact) * 2


def test_a_defect_of_one_action_does_not_take_the_others_along() -> None:
    async def story() -> None:
        done: list[Action] = []

        def act(action: Action) -> None:
            done.append(action)
            if len(done) == 1:
                raise RuntimeError("a defect")

        loop = loop_of(Twice(), act)
        loop.consume(disarmed(60_000))
        assert len(done) == 2
        assert loop.defects.counts == {"Report: RuntimeError": 1}
        loop.close()

    asyncio.run(story())


def test_each_new_kind_of_detector_defect_is_logged_once(caplog: Any) -> None:
    async def story() -> None:
        loop = loop_of(Decider(), panel=Panel({"sick": Sick(), "ill": Sick()}))
        for _ in range(3):
            loop.see(LibvirtGone(at=now(), reason="away"))
        assert loop.defects.counts == {
            "detector ill: ZeroDivisionError": 3,
            "detector sick: ZeroDivisionError": 3,
        }
        loop.close()

    asyncio.run(story())
    said = [r.getMessage() for r in caplog.records]
    assert [s.partition(":")[0] for s in said] == ["detector ill", "detector sick"]
