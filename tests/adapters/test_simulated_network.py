"""A simulated network loses, doubles and delays; its connections keep order, and break as TCP's."""

import asyncio
import functools
import random
from collections.abc import Awaitable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from holdfast.adapters.simulated.clock import Clock
from holdfast.adapters.simulated.connection import End, connect
from holdfast.adapters.simulated.machine import Machine
from holdfast.adapters.simulated.network import GIVES_UP_MS, Network, Weather
from holdfast.adapters.simulated.virtual_loop import VirtualLoop
from holdfast.facts.instants import NS_PER_MS


class Site:
    def __init__(self) -> None:
        self.clock = Clock()
        self.loop = VirtualLoop(self.clock)
        self.network = Network(self.clock, random.Random(7), ["a", "b"])
        self.near, self.far = connect(self.network, self.clock, "a", "x", "y")

    def run(self, work: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(work)

    def arrivals(self, count: int) -> list[tuple[float, int]]:
        """When each of so many datagrams, sent at once, arrived: in milliseconds."""
        came: list[tuple[float, int]] = []

        def note(number: int) -> None:
            came.append((self.clock.now / NS_PER_MS, number))

        for number in range(count):
            self.network.send("a", "x", "y", functools.partial(note, number))
        self.clock.run_until(self.clock.now + 1_000 * NS_PER_MS)
        return came


def test_datagrams_are_lost_doubled_delayed_and_reordered() -> None:
    site = Site()
    assert site.arrivals(3) == [(0.2, 0), (0.2, 1), (0.2, 2)]
    site.network.set_weather("a", Weather(loss=0.5))
    assert 30 < len(site.arrivals(100)) < 70
    site.network.set_weather("a", Weather(twice=0.5))
    assert 130 < len(site.arrivals(100)) < 170
    site.network.set_weather("a", Weather(delay_ms=10, jitter_ms=50))
    came = [number for _, number in site.arrivals(100)]
    assert came != sorted(came)
    assert sorted(came) == list(range(100))


def test_what_is_sent_to_many_befalls_each_of_them_alone() -> None:
    site = Site()
    came: list[tuple[str, float, str]] = []

    def hear(target: str, word: str) -> None:
        came.append((target, site.clock.now / NS_PER_MS, word))

    def send(times: int) -> list[tuple[str, float, str]]:
        came.clear()
        for _ in range(times):
            targets = [(one, functools.partial(hear, one)) for one in "yzw"]
            site.network.send_each("a", "x", targets, "tick")
        site.clock.run_until(site.clock.now + 1_000 * NS_PER_MS)
        return list(came)

    assert send(1) == [(one, 0.2, "tick") for one in "yzw"]
    site.network.cut("a", "x", "z")
    assert [one for one, _, _ in send(1)] == ["y", "w"]
    site.network.set_weather("a", Weather(loss=0.5, jitter_ms=50))
    came_to = [one for one, _, _ in send(100)]
    assert 30 < came_to.count("y") < 70
    assert 30 < came_to.count("w") < 70
    assert "z" not in came_to


def test_a_cut_is_one_way_and_a_split_is_between_its_groups_only() -> None:
    network = Site().network
    network.cut("a", "x", "y")
    assert not network.reaches("a", "x", "y")
    assert network.reaches("a", "y", "x")
    assert network.reaches("b", "x", "y")
    network.split("b", [["x"], ["y", "z"]])
    assert not network.reaches("b", "y", "x")
    assert network.reaches("b", "y", "z")
    assert network.reaches("b", "x", "elsewhere")
    network.mend_all()
    assert network.is_whole
    network.switch_off("y")
    assert not network.talk("x", "y", "a")


def test_messages_keep_their_order_and_wait_for_a_path() -> None:
    async def work() -> None:
        site.network.set_weather("a", Weather(delay_ms=1, jitter_ms=80))
        for number in range(20):
            await site.near.send(str(number))
        assert [await site.far.recv() for _ in range(20)] == [str(n) for n in range(20)]
        site.network.cut("a", "y", "x")  # One way is enough: nothing is acknowledged.
        await site.near.send("late")
        await asyncio.sleep(3)
        site.network.mend_all()
        before = site.clock.now
        assert await site.far.recv() == "late"
        assert site.clock.now - before <= 300 * NS_PER_MS

    site = Site()
    site.run(work())


def test_who_hangs_up_is_heard_to_and_who_is_cut_off_is_missed_by_pings() -> None:
    async def work() -> None:
        await site.near.send("first")
        await site.near.close()
        assert await site.far.recv() == "first"
        with pytest.raises(ConnectionClosed):
            await site.far.recv()
        with pytest.raises(ConnectionClosed):
            await site.near.send("after")

    site = Site()
    site.run(work())
    site = Site()
    site.network.split("a", [["x"], ["y"]])
    site.clock.run_until(round((GIVES_UP_MS - 1) * NS_PER_MS))
    assert _open(site.near, site.far) == [True, True]
    site.clock.run_until(round((GIVES_UP_MS + 1) * NS_PER_MS))
    assert _open(site.near, site.far) == [False, False]


def _open(*ends: End) -> list[bool]:
    return [end.is_open for end in ends]


def _linked(clock: Clock, network: Network) -> tuple[Machine, Machine, End, End]:
    one, other = (Machine(clock, network, name) for name in ("x", "y"))
    for machine in (one, other):
        machine.begin("agent")
    near, far = connect(network, clock, "a", "x", "y")
    one.own_end("agent", near)
    other.own_end("agent", far)
    return one, other, near, far


def test_a_killed_process_hangs_up_and_a_lost_machine_says_nothing_until_it_boots() -> None:
    clock = Clock()
    network = Network(clock, random.Random(7), ["a"])
    one, _, _, far = _linked(clock, network)
    one.kill("agent")
    clock.run_until(clock.now + NS_PER_MS)
    assert _open(far) == [False]
    one, other, near, _ = _linked(clock, network)
    other.cut_power()
    clock.run_until(clock.now + 1_000 * NS_PER_MS)
    assert _open(near) == [True]
    other.boot_again()
    clock.run_until(clock.now + 4_000 * NS_PER_MS)
    assert _open(near) == [False]
    for machine in (one, other):
        machine.bury()
