"""What every mender does: it says what it did, or why it could not, within its limit."""

import asyncio
import time
from typing import ClassVar

import pytest

from holdfast.facts.actions import TryRepair
from holdfast.facts.mending import RepairStep
from holdfast.facts.subjects import Subject, SubjectKind
from holdfast.ports.mender import Mender, MendFailed

MARGIN_S = 3.0  # What hangs has to be ended, on a machine that may be busy.


SERVED = Subject(kind=SubjectKind.PROCESS, id="served", name="served")


def asked(
    args: tuple[str, ...],
    limit_ms: int = 5_000,
    evidence: dict[str, str] | None = None,
    subject: Subject = SERVED,
) -> TryRepair:
    step = RepairStep(
        name="restart",
        says="restart it",
        mender="",
        args=args,
        budget_ms=limit_ms,
        verify_ms=1_000,
        verified="it runs",
    )
    return TryRepair(
        incident="i",
        key="k",
        number=1,
        step=step,
        subject=subject,
        evidence=evidence or {},
        limit_ms=limit_ms,
    )


class MenderContract:
    """`works`, `cannot` and `hangs` give the arguments with which it does so, about a `subject`
    with that `evidence`."""

    subject = SERVED
    evidence: ClassVar[dict[str, str]] = {}

    def asked(self, args: tuple[str, ...], limit_ms: int = 5_000) -> TryRepair:
        return asked(args, limit_ms, self.evidence, self.subject)

    def make(self) -> Mender:
        raise NotImplementedError

    def works(self) -> tuple[str, ...]:
        raise NotImplementedError

    def cannot(self) -> tuple[str, ...]:
        raise NotImplementedError

    def hangs(self) -> tuple[str, ...]:
        raise NotImplementedError

    def test_it_says_what_it_did(self) -> None:
        assert asyncio.run(self.make().mend(self.asked(self.works())))

    def test_it_says_why_it_could_not(self) -> None:
        args = self.cannot()
        with pytest.raises(MendFailed, match=r"\w"):
            asyncio.run(self.make().mend(self.asked(args)))

    def test_what_hangs_ends_within_its_limit(self) -> None:
        args, begun_s = self.hangs(), time.monotonic()
        with pytest.raises((TimeoutError, MendFailed)):
            asyncio.run(self.make().mend(self.asked(args, limit_ms=400)))
        assert time.monotonic() - begun_s < 0.4 + MARGIN_S

    def test_cancelled_it_ends_at_once(self) -> None:
        async def story() -> None:
            task = asyncio.create_task(self.make().mend(self.asked(args, limit_ms=60_000)))
            await asyncio.sleep(0.2)
            task.cancel()
            async with asyncio.timeout(MARGIN_S):
                await asyncio.wait([task])
            assert task.cancelled() or task.exception() is not None

        args = self.hangs()
        asyncio.run(story())
