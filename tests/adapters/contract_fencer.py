"""What every fencer keeps: the contract that the real one and the fake are tested by."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from holdfast.facts.fencing import Fence, FenceDevice, FenceStep
from holdfast.facts.tenure import DeathProof, ProofKind
from holdfast.ports.fencer import FenceFailed, Fencer, PowerState

Answer = TypeVar("Answer")
LATE_S = 2.0  # What a busy machine may be late by.

FENCE = Fence(
    host="host-4",
    name="h4",
    boot="boot-3",
    earlier=("boot-2", "boot-1"),
    incident="incident-1",
    number=1,
    term=7,
    step=FenceStep.INTENDED,
    reason="it is silent",
)


class Tried:
    """How to make a fencer and a device of it, and how its host is and fares."""

    def make(self) -> Fencer:
        raise NotImplementedError

    def device(self, deadline_s: int = 20) -> FenceDevice:
        raise NotImplementedError

    def has_power(self) -> bool:
        raise NotImplementedError

    def give_power(self, power: bool) -> None:
        raise NotImplementedError

    def fail(self, how: str) -> None:
        """`away`: the device does not answer. `stuck`: it takes the order, and the host stays
        on. `hung`: it answers nothing for ever."""
        raise NotImplementedError

    def run(self, call: Callable[[Fencer], Awaitable[Answer]]) -> Answer:
        async def whole() -> Answer:
            return await call(self.make())

        return asyncio.run(whole())

    def switch_off(self, device: FenceDevice | None = None) -> DeathProof:
        wanted = device or self.device()
        return self.run(lambda fencer: fencer.switch_off(FENCE, wanted))

    def power(self, device: FenceDevice | None = None) -> PowerState:
        wanted = device or self.device()
        return self.run(lambda fencer: fencer.power(wanted))

    def check(self, device: FenceDevice | None = None) -> None:
        wanted = device or self.device()
        self.run(lambda fencer: fencer.check(wanted))

    def refused(self, call: Callable[[], object]) -> FenceFailed:
        with pytest.raises(FenceFailed) as failure:
            call()
        return failure.value


class FencerContract(Tried):
    """What is true of each of them."""

    def test_it_says_whether_the_host_has_power(self) -> None:
        self.give_power(True)
        assert self.power() is PowerState.ON
        self.give_power(False)
        assert self.power() is PowerState.OFF
        assert not self.has_power(), "asking changes nothing"

    def test_a_host_that_is_on_is_switched_off_with_a_proof(self) -> None:
        self.give_power(True)
        proof = self.switch_off()
        assert not self.has_power()
        assert proof.kind is ProofKind.POWER
        assert (proof.host, proof.boot, proof.earlier) == ("host-4", "boot-3", ("boot-2", "boot-1"))
        assert (proof.vm, proof.by) == ("", "")
        assert "h4" in " ".join(proof.shown)
        assert self.power() is PowerState.OFF

    def test_a_host_that_is_off_already_is_a_success(self) -> None:
        self.give_power(False)
        assert self.switch_off().boot == "boot-3"
        assert not self.has_power()

    def test_a_device_that_does_not_answer_proves_nothing(self) -> None:
        self.give_power(True)
        self.fail("away")
        assert_sentence(str(self.refused(self.switch_off)))
        assert_sentence(str(self.refused(self.power)))
        assert self.has_power()

    @pytest.mark.slow
    @pytest.mark.parametrize("how", ["stuck", "hung"])
    def test_a_host_that_stays_on_is_said_within_the_deadline(self, how: str) -> None:
        self.give_power(True)
        self.fail(how)
        began = time.monotonic()
        assert_sentence(str(self.refused(lambda: self.switch_off(self.device(2)))))
        assert time.monotonic() - began < 2 + LATE_S
        assert self.has_power()

    def test_checking_touches_no_host(self) -> None:
        self.give_power(True)
        self.fail("away")
        self.check()
        assert self.has_power()


def assert_sentence(text: str) -> None:
    assert text.endswith((".", "?")), text
    assert " " in text
    assert "\n" not in text
    assert "Traceback" not in text
