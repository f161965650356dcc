"""The controller hears hosts through a real ear process, and asks those that it doubts."""

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.adapters.drivers.shelf import Shelf
from holdfast.controller.hearing import SHELF
from holdfast.facts import hearing as heard
from holdfast.facts import wire
from holdfast.facts.hearing import Plan, Sign
from holdfast.facts.pulse import Kind, Names, Pulse, encode
from tests.agent.pulse_scene import HOST, KEY
from tests.controller.hearing_scene import Site, run


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Callable[[], Shelf]]:
    opened: list[Shelf] = []

    def open_shelf() -> Shelf:
        for one in opened:
            one.close()
        opened.append(Shelf(tmp_path / "kept.db"))
        return opened[-1]

    yield open_shelf
    opened[-1].close()


@pytest.mark.slow
def test_a_host_is_heard_and_its_death_is_seen_on_both_planes(site: Site) -> None:
    async def work() -> None:
        async with site.running() as hearing:
            hearing.know_host(HOST, KEY, site.addresses)
            with site.host() as process:
                await site.wait(heard.PlaneHeard, plane="a")
                await site.wait(heard.PlaneHeard, plane="b")
                said = await site.wait(heard.PulseSaid)
                assert (said.host, said.plan, said.layers) == (HOST, Plan.NONE, {})
                await asyncio.sleep(0.3)
                assert site.find(heard.PlaneSilent) == []
                process.kill()
                killed = time.monotonic_ns()
                silent = await site.wait(heard.PlaneSilent, 2)
                assert {one.plane for one in site.find(heard.PlaneSilent)} == {"a", "b"}
                assert silent.missed >= 4
                assert silent.last_heard <= killed + 20e6
                assert silent.newest_other is None
            await site.wait_ear()
            assert hearing.counts()["refused"] == {}

    run(work())


def test_a_planned_restart_of_a_pulse_is_no_silence(site: Site) -> None:
    async def work() -> None:
        async with site.running() as hearing:
            hearing.know_host(HOST, KEY, site.addresses)
            with site.host() as process:
                await site.wait(heard.PlaneHeard, plane="b")
                process.terminate()
                await asyncio.to_thread(process.wait)
            said = await site.wait(heard.PulseSaid, plan=Plan.PULSE_RESTARTS)
            assert said.plan_limit_ms == 5_000
            with site.host():
                await site.wait(heard.PulseSaid, 2, plan=Plan.NONE)
                assert site.find(heard.PlaneSilent) == []

    run(work())


@pytest.mark.slow
def test_a_slow_controller_doubts_itself_and_holds_a_silence_that_may_be_over(site: Site) -> None:
    async def work() -> None:
        async with site.running() as hearing:
            hearing.know_host(HOST, KEY, site.addresses)
            with site.host() as process:
                await site.wait(heard.PlaneHeard, plane="b")
                process.send_signal(signal.SIGSTOP)
                time.sleep(0.5)  # noqa: ASYNC251  The event loop itself stands still.
                process.send_signal(signal.SIGCONT)
                time.sleep(0.5)  # noqa: ASYNC251  Likewise.
                doubted = await site.wait(heard.EarDoubted)
                assert doubted.reason == "the controller was slow"
                await site.wait(heard.EarTrusted)
                assert site.find(heard.PlaneSilent) == []
                time.sleep(0.1)  # noqa: ASYNC251  Not long enough to doubt.
                process.kill()
                process.wait()
                time.sleep(0.6)  # noqa: ASYNC251  Likewise, and it stays silent.
                await site.wait(heard.PlaneSilent, 2)
            order = [type(one) for one in site.seen]
            assert order.index(heard.PlaneSilent) > len(order) - 1 - order[::-1].index(
                heard.EarTrusted
            ), "told only when it trusts itself again"

    run(work())


@pytest.mark.slow
def test_a_host_that_died_while_no_controller_ran_is_missed_by_the_next(
    site: Site, shelf: Callable[[], Shelf]
) -> None:
    async def work() -> None:
        kept = shelf()
        async with site.running(site.make(kept)) as first:
            first.know_host(HOST, KEY, site.addresses, boot="boot-1")
            await kept.kept()
        assert set(shelf().all(SHELF)) == {HOST}
        again = site.make(shelf())
        async with site.running(again):
            silent = await site.wait(heard.PlaneSilent, 2)
            assert (silent.host, silent.boot) == (HOST, "boot-1")
            again.forget_host(HOST)
        assert again.known_hosts() == {}

    run(work())


def test_what_cannot_be_read_on_the_shelf_is_left_out(
    site: Site, shelf: Callable[[], Shelf]
) -> None:
    kept = shelf()
    kept.put(SHELF, "h1", b"rubbish")
    kept.put(SHELF, "h2", b'{"key": "00"}')
    kept.put(SHELF, "h3", b'{"key": "' + b"00" * 32 + b'"}')
    assert set(site.make(shelf()).known_hosts()) == {"h3"}


@pytest.mark.slow
def test_a_kernel_that_panics_is_heard_where_the_settings_say_so(site: Site) -> None:
    async def work() -> None:
        async with site.running() as hearing:
            hearing.know_host(HOST, KEY, site.addresses)
            await site.wait_ear()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as netconsole:
                port = site.settings.gasp_port
                netconsole.sendto(b"Kernel panic - not syncing: test\n", ("127.0.0.1", port))
                gasp = await site.wait(heard.LastGasp)
            assert (gasp.host, gasp.text) == (HOST, "Kernel panic - not syncing: test")

    run(work())


def hello(**fields: Any) -> wire.Hello:
    given = {"version": 1, "host": HOST, "host_name": "h1", "boot": "b", "state_id": "s"}
    return wire.Hello(**{**given, "stream": "x", **fields})


def test_a_greeting_says_whom_to_expect(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.hearing.greeted(hello())
    assert site.hearing.known_hosts() == {}, "an agent of the version before has no pulse"
    site.hearing.greeted(hello(pulse_key="00"))
    assert site.hearing.known_hosts() == {}
    assert "the pulses of host h1 cannot be believed" in caplog.text
    site.hearing.greeted(hello(pulse_key=KEY, addresses={"a": "127.0.0.1"}))
    site.hearing.greeted(hello(pulse_key=KEY, addresses={"a": "127.0.0.1"}, boot="later"))
    known = site.hearing.known_hosts()[HOST]
    assert (known.key, list(known.boots)) == (KEY, ["b", "later"])


def test_a_bad_key_is_refused(site: Site) -> None:
    with pytest.raises(ValueError, match="key"):
        site.hearing.know_host(HOST, "00", {})


def test_a_host_is_asked_whether_it_lives(site: Site) -> None:
    async def work() -> None:
        hearing = site.hearing
        hearing.know_host(HOST, KEY, site.addresses)
        assert await hearing.probe("ffffffff", "a") is Sign.UNKNOWN
        assert await hearing.probe(HOST, "z") is Sign.UNKNOWN
        assert await hearing.probe(HOST, "a") is Sign.KERNEL, "nobody listens, says the kernel"
        with site.host() as process:
            assert process.stderr is not None
            lines = iter(process.stderr.readline, b"")
            assert next(line for line in lines if b"each 50 ms" in line)
            assert await hearing.probe(HOST, "b", limit_ms=5_000) is Sign.PULSE
            process.send_signal(signal.SIGSTOP)
            assert await hearing.probe(HOST, "b") is Sign.KERNEL, "frozen, but the kernel lives"
        hearing.know_host("11111111", KEY, {"a": "2001:db8::1"})
        assert await hearing.probe("11111111", "a", limit_ms=50) is Sign.NOTHING

    run(work())


def test_an_answer_counts_only_for_its_own_question(site: Site) -> None:
    site.hearing.know_host(HOST, KEY, site.addresses)
    probe = site.hearing.make_probe(HOST, "a")
    assert probe is not None
    key = bytes.fromhex(KEY)

    def answer(nonce: str, key: bytes = key, host: str = HOST, kind: Kind = Kind.ANSWER) -> bytes:
        return encode(Pulse(names=Names(host, "a", "boot", nonce)), key, kind)

    def check(data: bytes) -> Sign:
        return site.hearing.check_answer(probe, data, is_kernel=False)

    assert check(answer(probe.nonce)) is Sign.PULSE
    for wrong in (
        b"",
        b"rubbish",
        probe.data,
        answer("00" * 16),
        answer(probe.nonce, key=b"f" * 32),
        answer(probe.nonce, host="ffffffff"),
        answer(probe.nonce, kind=Kind.PULSE),
    ):
        assert check(wrong) is Sign.NOTHING
    assert site.hearing.check_answer(probe, b"", is_kernel=True) is Sign.KERNEL
