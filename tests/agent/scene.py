"""What the agent's tests share: a VM, a grant of it, and a wait with a limit."""

import asyncio
import time
from collections.abc import Callable

from holdfast.facts.actions import RestartHere
from holdfast.facts.promises import Answer, Protection
from holdfast.facts.subjects import Incarnation
from holdfast.facts.tenure import LocalProof, Tenure, TenureState, Wanted
from holdfast.ports.hypervisor import Domain

HOST, BOOT = "host-1", "boot"
LIMIT_S = 20.0


def domain_of(vm: str, state: str = "shut off", reason: str = "crashed") -> Domain:
    return Domain(
        vm=vm,
        name=f"web-{vm}",
        state=state,
        reason=reason,
        is_persistent=True,
        on_crash="restart",
    )


def life_of(vm: str, boot: str = BOOT) -> Incarnation:
    return Incarnation(vm=vm, boot=boot, pid=7, started_ticks=8)


def tenure_of(vm: str, host: str = HOST, boot: str = BOOT) -> Tenure:
    return Tenure(
        vm=vm,
        generation=1,
        host=host,
        boot=boot,
        state=TenureState.HELD,
        wanted=Wanted.RUNNING,
    )


def protection_of(vm: str) -> Protection:
    return Protection(
        vm=vm, name=f"web-{vm}", group="default", answer=Answer(), tenure=tenure_of(vm)
    )


def restart_of(vm: str, *, age_s: float = 0.0, host: str = HOST) -> RestartHere:
    life = life_of(vm)
    at = time.monotonic_ns() - int(age_s * 1e9)
    proof = LocalProof(vm=vm, boot=BOOT, incarnation=life.key, shown=("nothing",), at=at)
    return RestartHere(
        incident=f"i-{vm}",
        name=f"web-{vm}",
        tenure=tenure_of(vm, host),
        proof=proof,
        attempt=1,
        reason="it crashed",
    )


async def wait_for(condition: Callable[[], object], what: str) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110  What is waited for lives in other tasks, too.
            await asyncio.sleep(0.005)
    assert condition(), what
