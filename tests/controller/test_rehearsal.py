"""Devices are tried without harm, once a day by themselves; what came of it is kept and told."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from holdfast.adapters.simulated.vims import VimInMemory
from holdfast.controller.fencing import fencing_words
from holdfast.controller.rehearsal import LOOK_S, MOST_AT_ONCE, NEW_LADDER_MS, WRONG_WAY, Rehearsals
from holdfast.controller.watching import begin
from holdfast.facts import hearing as heard
from holdfast.facts.alarms import AlarmState
from holdfast.facts.fencing import (
    DeviceTried,
    FenceDevice,
    FenceStep,
    HostFencing,
    HostMode,
    Rehearsal,
)
from holdfast.facts.hearing import Sign
from holdfast.policy.rehearsals import AGAIN_MS, DAY_MS, OLD_MS, is_due, why_not_fenceable
from holdfast.ports import clock
from holdfast.ports.fencer import PowerState
from tests.controller.fake_agent import ask, ask_all, wait_for
from tests.controller.fake_fencer import AGENT, FakeFencer
from tests.controller.house import House
from tests.controller.test_fencing import IPMI, a_fence, house_with_a_host, listed

WELL = DeviceTried(agent=AGENT, is_well=True, said="on")
BAD = DeviceTried(agent=AGENT, is_well=False, said="login failed")
LADDER = HostFencing(host="h", mode=HostMode.ACT, devices=(FenceDevice(agent=AGENT),))


def rehearsed(*devices: DeviceTried, at: int = 0, host: str = "h") -> Rehearsal:
    return Rehearsal(host=host, devices=devices, utc_ms=at)


def test_a_host_is_fenceable_while_a_device_worked_at_most_two_days_ago() -> None:
    assert why_not_fenceable(LADDER, rehearsed(BAD, WELL), OLD_MS) == ""
    assert "older than two days" in why_not_fenceable(LADDER, rehearsed(WELL), OLD_MS + 1)
    assert why_not_fenceable(LADDER, rehearsed(BAD), 0) == "fence_ipmilan: login failed"
    assert "not been rehearsed" in why_not_fenceable(LADDER, None, 0)
    assert "no fence device" in why_not_fenceable(HostFencing(host="h"), rehearsed(WELL), 0)


def test_each_host_has_its_own_time_of_the_day_and_none_grows_old() -> None:
    """Of hosts that were all rehearsed at once, as when somebody asked for it."""
    times = []
    for number in range(100):
        host, last = f"host-{number}", rehearsed(WELL, at=DAY_MS)
        utc_ms = DAY_MS
        while not is_due(host, last, utc_ms):
            utc_ms += 600_000
        assert DAY_MS // 2 <= utc_ms - DAY_MS < OLD_MS - AGAIN_MS
        assert not why_not_fenceable(LADDER, last, utc_ms)
        times.append(utc_ms)
        again = rehearsed(WELL, at=utc_ms)
        assert is_due(host, again, utc_ms + DAY_MS), "the same time the next day"
        assert not is_due(host, again, utc_ms + DAY_MS - 3_600_000)
    per_hour = [times.count(one) for one in set(times)]
    assert len(set(times)) > 40
    assert max(per_hour) < 10


def test_a_new_ladder_is_due_at_once_a_failed_one_in_an_hour_and_a_future_one_now() -> None:
    assert is_due("h", None, 0)
    assert not is_due("h", rehearsed(BAD), AGAIN_MS - 1)
    assert is_due("h", rehearsed(BAD), AGAIN_MS)
    assert is_due("h", rehearsed(WELL, at=5), 4), "the clock was set back"


async def pulse(house: House) -> None:
    """Pulses of host-a arrive, as the ear would say."""
    await wait_for(house.controller.hearing.is_reliable)
    seen = heard.PlaneHeard(at=clock.now(), host="host-a", plane="a", boot="boot-1")
    house.controller.watch.see(seen)
    assert house.controller.watch.sign_of("host-a") is Sign.PULSE


async def rehearse_while(house: House, *, pulses: bool) -> dict[str, Any]:
    """Again where a busy machine made the ear doubt meanwhile: then it knows nothing of pulses."""
    while True:
        if pulses:
            await pulse(house)
        told: dict[str, Any] = await ask(house.socket, "fence-rehearse", host="host-a")
        if not pulses or house.controller.watch.sign_of("host-a") is Sign.PULSE:
            return told


@pytest.mark.parametrize(
    ("power", "pulses", "is_well", "said"),
    [
        (PowerState.ON, True, True, "on"),
        (PowerState.OFF, True, False, WRONG_WAY),
        (PowerState.ON, False, True, "on"),
        (PowerState.OFF, False, True, "off"),
        ("login failed", True, False, "login failed"),
    ],
)
def test_a_device_must_say_on_of_a_host_that_pulses(
    tmp_path: Path, power: PowerState | str, pulses: bool, is_well: bool, said: str
) -> None:
    async def work() -> None:
        fencer = FakeFencer(bmcs={"10.0.9.4": power})
        async with house_with_a_host(tmp_path, fencer) as (house, _):
            await ask(house.socket, "fence-set", host="host-a", **IPMI)
            told = await rehearse_while(house, pulses=pulses)
            [row], [device] = told["hosts"], told["hosts"][0]["devices"]
            assert (device["is_well"], device["said"]) == (is_well, said)
            assert row["is_fenceable"] is is_well
            assert row == await listed(house)
            assert fencer.bmcs["10.0.9.4"] == power, "nothing was switched"

    asyncio.run(work())


def test_one_device_that_works_is_enough_and_each_is_asked(tmp_path: Path) -> None:
    async def work() -> None:
        fencer = FakeFencer(bmcs={"10.0.9.4": "login failed", "10.0.9.5": PowerState.ON})
        async with house_with_a_host(tmp_path, fencer) as (house, _):
            await ask(house.socket, "fence-set", host="host-a", **IPMI)
            second = {**IPMI, "options": {"ip": "10.0.9.5"}, "level": 2}
            await ask(house.socket, "fence-set", host="host-a", **second)
            told = await ask(house.socket, "fence-rehearse")
            assert fencer.asked == ["10.0.9.4", "10.0.9.5"]
            assert told["hosts"][0]["is_fenceable"]
            assert [one["is_well"] for one in told["hosts"][0]["devices"]] == [False, True]

    asyncio.run(work())


def test_a_rehearsal_of_nothing_or_of_a_host_that_is_fenced_now_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        fencer = FakeFencer(bmcs={"10.0.9.4": PowerState.ON})
        async with house_with_a_host(tmp_path, fencer) as (house, _):
            none = await ask_all(house.socket, "fence-rehearse")
            assert none.error == "no host has a fence device"
            bare = await ask_all(house.socket, "fence-rehearse", host="host-a")
            assert (bare.error, "fence set host-a" in bare.hint) == (
                "host-a has no fence device",
                True,
            )
            await ask(house.socket, "fence-set", host="host-a", **IPMI)
            registry = house.controller.registry
            fence = a_fence(FenceStep.INTENDED)
            await registry.change(lambda: {"fences/host-a": fence})
            busy = await ask_all(house.socket, "fence-rehearse", host="host-a")
            assert busy.error == "host-a is being fenced now: its devices are in use"
            house.controller.rehearsals.begin_due()
            await asyncio.sleep(0)
            assert fencer.asked == []
            await registry.change(lambda: {"fences/host-a": structs.replace(fence, doubt="x")})
            await ask(house.socket, "fence-rehearse", host="host-a")
            assert fencer.asked == ["10.0.9.4"], "in doubt whether it is the right one"
            await registry.change(lambda: {"fences/host-a": a_fence(FenceStep.CLOSED)})
            await ask(house.socket, "fence-rehearse", host="host-a")
            assert fencer.asked == ["10.0.9.4"] * 2

    asyncio.run(work())


def test_what_was_rehearsed_ends_with_its_ladder_also_while_it_is_under_way(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        fencer = FakeFencer(bmcs={"10.0.9.4": PowerState.ON, "10.0.9.5": None})
        async with house_with_a_host(tmp_path, fencer) as (house, _):
            await ask(house.socket, "fence-set", host="host-a", **IPMI)
            await ask(house.socket, "fence-rehearse")
            assert (await listed(house))["is_fenceable"]
            hangs = {**IPMI, "options": {"ip": "10.0.9.5"}}
            await ask(house.socket, "fence-set", host="host-a", **hangs)
            assert (await listed(house))["rehearsed_utc_ms"] == 0
            rehearsals = house.controller.rehearsals
            assert await rehearsals.rehearse(["host-a"], "anna", 0.05) == ["host-a"]
            await ask(house.socket, "fence-set", host="host-a", **IPMI)
            assert await rehearsals.rehearse(["host-a"], "bert", 0.05) == ["host-a"]
            assert fencer.asked.count("10.0.9.5") == 1, "one under way serves all who ask"
            fencer.bmcs["10.0.9.5"] = PowerState.ON
            for _ in range(20):
                await asyncio.sleep(0.01)
                assert house.controller.registry.rehearsal("host-a") is None
            assert await rehearsals.rehearse(["host-a"], "anna", 5) == []
            assert (await listed(house))["is_fenceable"]

    asyncio.run(work())


def test_the_next_leader_knows_what_was_rehearsed(tmp_path: Path) -> None:
    async def work() -> None:
        async with house_with_a_host(tmp_path) as (house, _):
            await ask(house.socket, "fence-set", host="host-a", **IPMI)
            await ask(house.socket, "fence-rehearse")
            before = await listed(house)
        async with house_with_a_host(tmp_path) as (house, _):
            assert await listed(house) == before
            kept = house.controller.registry.rehearsal("host-a")
            assert kept is not None
            assert (kept.by, kept.devices) == ("anna", (WELL,))

    asyncio.run(work())


async def unfenceable(house: House) -> list[tuple[AlarmState, str]]:
    records = await house.controller.vim.alarms(include_cleared=True)
    found = [one.alarm for one in records if one.alarm.condition == "host-unfenceable"]
    return [(alarm.state, alarm.text) for alarm in found]


def test_a_host_that_should_be_fenced_and_could_not_be_is_an_alarm(tmp_path: Path) -> None:
    async def work() -> None:
        fencer = FakeFencer(bmcs={"10.0.9.4": "login failed"})
        async with house_with_a_host(tmp_path, fencer) as (house, _):
            await ask(house.socket, "fence-set", host="host-a", **IPMI)
            await ask(house.socket, "fence-rehearse")
            assert await unfenceable(house) == [], "nobody said that Holdfast should act on it"
            await ask(house.socket, "host-mode", host="host-a", mode="act")
            await ask(house.socket, "fence-rehearse")
            text = "host-a could not be fenced if it died now: fence_ipmilan: "
            assert await unfenceable(house) == [(AlarmState.RAISED, f"{text}login failed")]
            [record] = await house.controller.vim.alarms()
            assert record.alarm.repair == "Mend it, then: holdfast fence rehearse host-a"
            [shown] = (await ask(house.socket, "host", host="host-a"))["alarms"]
            assert shown["alarm"]["condition"] == "host-unfenceable"
            for said in ("fence_ipmilan is slow (8.1 s).", "fence_ipmilan is slow (9.4 s)."):
                fencer.bmcs["10.0.9.4"] = said
                await ask(house.socket, "fence-rehearse")
            assert await unfenceable(house) == [(AlarmState.CHANGED, f"{text}is slow (8.1 s)")]
            [record] = await house.controller.vim.alarms()
            assert record.alarm.revision == 2, "another number is no news"
            fencer.bmcs["10.0.9.4"] = PowerState.ON
            await ask(house.socket, "fence-rehearse")
            [(state, said)] = await unfenceable(house)
            assert (state, said) == (
                AlarmState.CLEARED,
                "over: a host could not be fenced if it died now",
            )

    asyncio.run(work())


@pytest.mark.parametrize("end", ["report", "put out"])
def test_the_alarm_ends_when_nobody_would_act(tmp_path: Path, end: str) -> None:
    async def work() -> None:
        fencer = FakeFencer(bmcs={"10.0.9.4": "login failed"})
        async with house_with_a_host(tmp_path, fencer) as (house, _):
            await ask(house.socket, "fence-set", host="host-a", **IPMI)
            await ask(house.socket, "host-mode", host="host-a", mode="act")
            await ask(house.socket, "fence-rehearse")
            assert [state for state, _ in await unfenceable(house)] == [AlarmState.RAISED]
            if end == "report":
                await ask(house.socket, "host-mode", host="host-a", mode="report")
            else:
                gone: dict[str, Any] = {"fencing/host-a": None, "rehearsals/host-a": None}
                await house.controller.registry.change(lambda: gone)
            await house.controller.rehearsals.settle_alarms()
            assert [state for state, _ in await unfenceable(house)] == [AlarmState.CLEARED]

    asyncio.run(work())


def test_the_watch_leaves_the_alarm_alone_when_it_comes_to_lead(tmp_path: Path) -> None:
    """It clears what it does not want of hosts; this is not its own to want."""

    async def work() -> None:
        fencer = FakeFencer(bmcs={"10.0.9.4": "login failed"})
        async with house_with_a_host(tmp_path, fencer) as (house, _):
            await ask(house.socket, "fence-set", host="host-a", **IPMI)
            await ask(house.socket, "host-mode", host="host-a", mode="act")
            await ask(house.socket, "fence-rehearse")
            watch = house.controller.watch
            [record] = await house.controller.vim.alarms()
            begin(watch, house.controller.agents, house.controller.hearing, [record])
            watch.shared(record)
            assert record.alarm.key not in watch.decider.world.reported

    asyncio.run(work())


class Ladders:
    """Many hosts with a ladder each, and a leader that rehearses them by itself."""

    def __init__(self, house: House, fencer: FakeFencer) -> None:
        self.vim = VimInMemory()
        self.rehearsals = Rehearsals(
            registry=house.controller.registry,
            fencer=fencer,
            vim=self.vim,
            sign_of=lambda _: Sign.NOTHING,
            name_of=str,
            term=lambda: 1,
            me="controller-1",
            boot="boot",
        )
        self.registry = house.controller.registry

    async def set(self, count: int, **more: Any) -> None:
        for number in range(count):
            host = f"h{number}"
            device = FenceDevice(agent=AGENT, options={"ip": host})
            held = HostFencing(host=host, devices=(device,), **more)
            await self._put(host, held)

    async def _put(self, host: str, held: HostFencing) -> None:
        await self.registry.change(lambda: {f"fencing/{host}": held})

    def rehearsed(self) -> int:
        known = self.registry.all_fencing()
        return sum(self.registry.rehearsal(one.host) is not None for one in known)


def test_the_leader_rehearses_by_itself_a_few_at_once_until_all_are(tmp_path: Path) -> None:
    async def work() -> None:
        fencer = FakeFencer(bmcs={f"h{n}": PowerState.ON for n in range(2 * MOST_AT_ONCE)})
        async with house_with_a_host(tmp_path) as (house, _):
            ladders = Ladders(house, fencer)
            await ladders.set(2 * MOST_AT_ONCE)
            ladders.rehearsals.begin_due()
            await asyncio.sleep(0)
            assert len(fencer.asked) == MOST_AT_ONCE
            await wait_for(lambda: ladders.rehearsed() == MOST_AT_ONCE)
            ladders.rehearsals.begin_due()
            await wait_for(lambda: ladders.rehearsed() == 2 * MOST_AT_ONCE)
            ladders.rehearsals.begin_due()
            await asyncio.sleep(0.05)
            assert sorted(fencer.asked) == sorted(fencer.bmcs), "each once: none is due again"

    asyncio.run(work())


@pytest.mark.slow
def test_a_whole_controller_rehearses_a_new_ladder_without_being_asked(tmp_path: Path) -> None:
    async def work() -> None:
        async with house_with_a_host(tmp_path) as (house, _):
            await ask(house.socket, "fence-set", host="host-a", **IPMI)
            registry = house.controller.registry
            await wait_for(lambda: registry.rehearsal("host-a") is not None, 2 * LOOK_S)
            kept = registry.rehearsal("host-a")
            assert kept is not None
            assert (kept.by, kept.devices) == ("", (WELL,))

    asyncio.run(work())


def test_a_ladder_that_is_new_has_ten_minutes_to_be_rehearsed_first(tmp_path: Path) -> None:
    async def work() -> None:
        async with house_with_a_host(tmp_path) as (house, _):
            ladders = Ladders(house, FakeFencer())
            now = clock.utc_ms()
            await ladders.set(1, mode=HostMode.ACT, set_utc_ms=now)
            await ladders.rehearsals.settle_alarms()
            assert await ladders.vim.alarms() == []
            await ladders.set(1, mode=HostMode.ACT, set_utc_ms=now - NEW_LADDER_MS - 1)
            await ladders.rehearsals.settle_alarms()
            [record] = await ladders.vim.alarms()
            assert "have not been rehearsed yet" in record.alarm.text
            assert not fencing_words(ladders.registry, "h0")["is_fenceable"]
            ladders.vim.is_away = True
            await ladders.rehearsals.settle_alarms()  # Said in the log, and tried again.

    asyncio.run(work())
