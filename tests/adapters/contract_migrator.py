"""What every migrator keeps to: a VM is in one place, and each end says only what it is sure of."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pytest

from holdfast.facts.migrations import End
from holdfast.ports.hypervisor import CallFailed
from holdfast.ports.migrator import Migrator, Place

LIMIT_S = 30.0
LOOK_S = 0.01


class Bench(Protocol):
    """Two hosts, `a` with a running VM; `hold` lets no move come to its end until `let_go`."""

    vm: str

    @property
    def a(self) -> Migrator: ...

    @property
    def b(self) -> Migrator: ...

    def place(self, port: int) -> Place: ...

    def hold(self) -> None: ...

    def let_go(self) -> None: ...


async def wait_end(migrator: Migrator, vm: str, end: End) -> None:
    async with asyncio.timeout(LIMIT_S):
        while (await migrator.look(vm)).end is not end:  # noqa: ASYNC110  It is another task's.
            await asyncio.sleep(LOOK_S)


async def moves_and_both_say_so(bench: Bench) -> None:
    port = await bench.b.receive(bench.vm, "a", "127.0.0.1")
    assert (await bench.b.look(bench.vm)).end is End.MOVING, "it may come at any moment"
    await bench.a.send(bench.vm, bench.place(port), LIMIT_S)
    await bench.b.leave(bench.vm)
    assert (await bench.a.look(bench.vm)).end is End.NOTHING
    here = await bench.b.look(bench.vm)
    assert here.end is End.RUNS
    assert here.pause_ms is not None


async def says_that_it_moves_until_it_has(bench: Bench) -> None:
    port = await bench.b.receive(bench.vm, "a", "127.0.0.1")
    bench.hold()
    sending = asyncio.ensure_future(bench.a.send(bench.vm, bench.place(port), LIMIT_S))
    await wait_end(bench.a, bench.vm, End.MOVING)
    bench.let_go()
    await sending
    assert (await bench.a.look(bench.vm)).end is End.NOTHING


async def a_move_that_is_called_off_leaves_it_where_it_is(bench: Bench) -> None:
    port = await bench.b.receive(bench.vm, "a", "127.0.0.1")
    bench.hold()
    sending = asyncio.ensure_future(bench.a.send(bench.vm, bench.place(port), LIMIT_S))
    await wait_end(bench.a, bench.vm, End.MOVING)
    await bench.a.cancel(bench.vm)
    with pytest.raises(CallFailed):
        await sending
    await bench.b.leave(bench.vm)
    assert (await bench.a.look(bench.vm)).end is End.RUNS
    assert (await bench.b.look(bench.vm)).end is End.NOTHING


async def the_limit_calls_it_off(bench: Bench) -> None:
    port = await bench.b.receive(bench.vm, "a", "127.0.0.1")
    bench.hold()
    with pytest.raises(CallFailed, match="called off"):
        await bench.a.send(bench.vm, bench.place(port), 0.2)
    assert (await bench.a.look(bench.vm)).end is End.RUNS


async def a_door_that_is_shut_lets_nobody_in(bench: Bench) -> None:
    port = await bench.b.receive(bench.vm, "a", "127.0.0.1")
    await bench.b.leave(bench.vm)
    with pytest.raises(CallFailed):
        await bench.a.send(bench.vm, bench.place(port), LIMIT_S)
    assert (await bench.a.look(bench.vm)).end is End.RUNS
    assert (await bench.b.look(bench.vm)).end is End.NOTHING


async def another_host_than_the_one_named_is_not_let_in(bench: Bench) -> None:
    port = await bench.b.receive(bench.vm, "c", "127.0.0.1")
    with pytest.raises(CallFailed):
        await bench.a.send(bench.vm, bench.place(port), LIMIT_S)
    assert (await bench.a.look(bench.vm)).end is End.RUNS


async def leaving_or_cancelling_nothing_is_a_success(bench: Bench) -> None:
    await bench.a.cancel(bench.vm)
    await bench.b.leave(bench.vm)
    assert (await bench.a.look(bench.vm)).end is End.RUNS


CONTRACT: tuple[Callable[[Bench], Awaitable[Any]], ...] = (
    moves_and_both_say_so,
    says_that_it_moves_until_it_has,
    a_move_that_is_called_off_leaves_it_where_it_is,
    the_limit_calls_it_off,
    a_door_that_is_shut_lets_nobody_in,
    another_host_than_the_one_named_is_not_let_in,
    leaving_or_cancelling_nothing_is_a_success,
)
