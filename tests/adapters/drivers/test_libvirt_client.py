"""A call that overruns costs its own worker, and nobody else's answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from holdfast.adapters.drivers.libvirt_client import LibvirtClient
from holdfast.facts.observations import CallTimedOut, Observation
from holdfast.ports.hypervisor import CallFailed, CallOverran

SLOW_MS = 20_000


@pytest.fixture(autouse=True)
def _workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def play(story: Callable[[LibvirtClient], Awaitable[None]], how: str = "works") -> None:
    async def run() -> None:
        client = LibvirtClient(how, module="hanging_worker")
        try:
            await story(client)
        finally:
            await client.close()

    asyncio.run(run())


def test_an_overrun_is_seen_and_the_next_call_has_another_worker() -> None:
    async def story(client: LibvirtClient) -> None:
        seen: list[Observation] = []
        client.see = seen.append
        first = await client.call("echo", SLOW_MS)
        with pytest.raises(CallOverran, match="look in 100 ms"):
            await client.call("look", 100, vm="vm-1", hangs_s=60)
        assert [(s.call, s.vm) for s in seen if isinstance(s, CallTimedOut)] == [("look", "vm-1")]
        assert await client.call("echo", SLOW_MS) != first
        assert first not in client.pids

    play(story)


@pytest.mark.slow
def test_others_in_flight_still_get_their_answers() -> None:
    async def story(client: LibvirtClient) -> None:
        first = await client.call("echo", SLOW_MS)
        start = asyncio.create_task(client.call("start", SLOW_MS, hangs_s=1.5))
        with pytest.raises(CallOverran):
            await client.call("screenshot", 200, hangs_s=60)
        assert await client.call("echo", SLOW_MS) != first
        assert await start == first
        deadline = time.monotonic() + 5
        while first in client.pids:
            assert time.monotonic() < deadline, "nobody waits for it any more"
            await asyncio.sleep(0.01)

    play(story)


@pytest.mark.slow
def test_a_hang_without_end_never_gathers_workers() -> None:
    async def story(client: LibvirtClient) -> None:
        for _ in range(5):
            with pytest.raises(CallOverran):
                await client.call("look", 300, hangs_s=60)
            assert len(client.pids) <= 1

    play(story)


def test_a_refusal_costs_nothing() -> None:
    async def story(client: LibvirtClient) -> None:
        first = await client.call("echo", SLOW_MS)
        with pytest.raises(CallFailed, match="no") as failure:
            await client.call("refuse", SLOW_MS)
        assert failure.value.is_final
        assert await client.call("echo", SLOW_MS) == first

    play(story)


def test_a_worker_that_ends_in_a_call_leaves_its_outcome_unknown() -> None:
    async def story(client: LibvirtClient) -> None:
        await client.call("echo", SLOW_MS)
        with pytest.raises(CallOverran):
            await client.call("exit", SLOW_MS)
        await client.call("echo", SLOW_MS)

    play(story)


def test_a_worker_that_cannot_start_is_a_failure_with_advice() -> None:
    async def story(client: LibvirtClient) -> None:
        with pytest.raises(CallFailed, match="python3-libvirt") as failure:
            await client.call("echo", SLOW_MS)
        assert not isinstance(failure.value, CallOverran)

    play(story, "broken")
