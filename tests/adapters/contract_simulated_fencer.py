"""What every fencer keeps: the contract that the real ones and the fake are tested by."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import pytest

from holdfast.facts.fencing import Fence, FenceDevice, FenceStep
from holdfast.facts.tenure import DeathProof, ProofKind
from holdfast.ports.fencer import FenceFailed, Fencer, PowerState

Result = TypeVar("Result")
SLACK_S = 2.0  # Beyond the deadline, to end what was begun.


def fence() -> Fence:
    return Fence(
        host="h4",
        name="h4",
        boot="boot-3",
        earlier=("boot-1", "boot-2"),
        incident="i",
        number=1,
        term=1,
        step=FenceStep.INTENDED,
        reason="h4 is silent",
    )


class FencerContract:
    """How to make a fencer and a device of one host that is on, and how to make that fail."""

    def make(self) -> Fencer:
        raise NotImplementedError

    def device(self) -> FenceDevice:
        raise NotImplementedError

    def is_on(self) -> bool:
        """In truth."""
        raise NotImplementedError

    def fail(self, how: str) -> None:
        """`never` (no answer), `half` (an error, after it was done), `on` (its power reads so for
        ever), `refuses` (the password), `second try` (only each other question is answered)."""
        raise NotImplementedError

    def now_s(self) -> float:
        raise NotImplementedError

    def run(self, work: Callable[[], Awaitable[Result]]) -> Result:
        raise NotImplementedError

    def switch_off(self, device: FenceDevice | None = None) -> DeathProof:
        fencer, asked = self.make(), device or self.device()
        return self.run(lambda: fencer.switch_off(fence(), asked))

    def power(self) -> PowerState:
        fencer, device = self.make(), self.device()
        return self.run(lambda: fencer.power(device))

    def test_it_reads_the_power_and_changes_nothing(self) -> None:
        assert self.power() is PowerState.ON
        assert self.is_on()

    def test_who_is_switched_off_is_off_and_proven_so(self) -> None:
        proof = self.switch_off()
        assert not self.is_on()
        assert (proof.kind, proof.host, proof.boot) == (ProofKind.POWER, "h4", "boot-3")
        assert proof.earlier == ("boot-1", "boot-2")
        assert (proof.vm, proof.by) == ("", "")
        assert all(proof.shown)
        assert proof.shown
        assert self.power() is PowerState.OFF

    def test_who_is_off_already_is_off(self) -> None:
        self.switch_off()
        assert self.switch_off().host == "h4"
        assert not self.is_on()

    @pytest.mark.parametrize("how", ["half", "second try"])
    def test_who_did_it_badly_did_it(self, how: str) -> None:
        self.fail(how)
        assert self.switch_off().boot == "boot-3"
        assert not self.is_on()

    @pytest.mark.parametrize("how", ["never", "on", "refuses"])
    def test_who_is_not_read_back_off_is_not_proven_off(self, how: str) -> None:
        self.fail(how)
        device, since = self.device(), self.now_s()
        with pytest.raises(FenceFailed) as failed:
            self.switch_off()
        assert self.now_s() - since < device.deadline_s + SLACK_S
        assert str(failed.value)
        assert not any(secret in str(failed.value) for secret in device.secrets.values())

    @pytest.mark.parametrize("how", ["never", "refuses"])
    def test_who_does_not_answer_has_no_power_to_tell(self, how: str) -> None:
        self.fail(how)
        with pytest.raises(FenceFailed):
            self.power()
        assert self.is_on()

    def test_what_could_never_work_is_said_without_touching_the_host(self) -> None:
        fencer, good = self.make(), self.device()
        self.run(lambda: fencer.check(good))
        for bad in (
            msgspec.structs.replace(good, agent="fence_nobody"),
            msgspec.structs.replace(good, options={}),
            msgspec.structs.replace(good, options={**good.options, "colour": "red"}),
        ):
            with pytest.raises(FenceFailed):
                self.run(lambda bad=bad: fencer.check(bad))  # type: ignore[misc]
        assert self.is_on()
