"""An ear that is stopped, dies, starts slowly or cannot listen: it is doubted, and begun again."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from holdfast.adapters.drivers.worker_link import Worker
from holdfast.controller.hearing import MUTE_LIMIT_S, Hearing
from holdfast.facts import hearing as heard
from tests.agent.pulse_scene import HOST, KEY
from tests.controller.hearing_scene import Site, run, until


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.slow
def test_an_ear_that_is_stopped_and_goes_on_says_that_it_was_late_and_nothing_false(
    site: Site,
) -> None:
    async def work() -> None:
        async with site.running() as hearing:
            hearing.know_host(HOST, KEY, site.addresses)
            with site.host():
                ear = await site.wait_ear()
                await site.wait(heard.PlaneHeard, plane="b")
                for number in range(1, 4):
                    os.kill(ear, signal.SIGSTOP)
                    await asyncio.sleep(0.7)
                    os.kill(ear, signal.SIGCONT)
                    doubted = await site.wait(heard.EarDoubted, number)
                    await site.wait(heard.EarTrusted, number)
                    assert doubted.late_ms > 500 or "controller" in doubted.reason
                await asyncio.sleep(0.5)
                assert site.find(heard.PlaneSilent) == []
                assert hearing.restarts == 0

    run(work())


@pytest.mark.slow
def test_an_ear_that_dies_is_begun_again_and_doubts_until_it_listens(site: Site) -> None:
    async def work() -> None:
        async with site.running() as hearing:
            hearing.know_host(HOST, KEY, site.addresses)
            with site.host() as process:
                ear = await site.wait_ear()
                await site.wait(heard.PlaneHeard, plane="b")
                os.kill(ear, signal.SIGKILL)
                doubted = await site.wait(heard.EarDoubted)
                assert doubted.reason == "the ear ended and is begun again"
                assert not hearing.is_reliable()
                await site.wait(heard.EarTrusted)
                await site.wait(heard.EarBegan, 2)
                await site.wait(heard.PlaneHeard, 2, plane="b")
                await until(hearing.is_reliable)
                assert site.find(heard.PlaneSilent) == []
                process.kill()
                await site.wait(heard.PlaneSilent, 2)
            assert hearing.counts()["restarts"] == 1

    run(work())


class SlowToStart(Worker):
    """As on a busy host: it says its first word later than an ear may be mute."""

    async def start(self) -> None:
        await super().start()
        os.kill(self.pid, signal.SIGSTOP)
        loop = asyncio.get_running_loop()
        loop.call_later(MUTE_LIMIT_S + 0.5, os.kill, self.pid, signal.SIGCONT)


@pytest.mark.slow
def test_an_ear_that_starts_slowly_is_waited_for(site: Site) -> None:
    async def work() -> None:
        hearing = Hearing(site.settings, site.seen.append, host_name="c1", make_ear=SlowToStart)
        async with site.running(hearing):
            await site.wait(heard.EarBegan)
            assert hearing.restarts == 0

    run(work())


def test_an_ear_that_cannot_listen_says_why_until_it_can(site: Site) -> None:
    async def work() -> None:
        port = site.settings.pulse_port
        why = f"UDP port {port} of 127.0.0.2 cannot be used: Address already in use"
        async with site.running() as hearing:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
                taken.bind(("127.0.0.2", port))
                doubted = await site.wait(heard.EarDoubted)
            assert doubted.reason == f"the ear ended and is begun again: {why}"
            assert hearing.counts()["why"] == why
            await until(lambda: hearing.counts()["why"] == "")

    run(work())


@pytest.mark.slow
def test_an_ear_that_is_stopped_for_good_is_replaced(site: Site) -> None:
    async def work() -> None:
        async with site.running() as hearing:
            ear = await site.wait_ear()
            os.kill(ear, signal.SIGSTOP)
            await until(lambda: not hearing.is_reliable())
            assert site.find(heard.EarDoubted) == [], "it vouches for nobody before it is missed"
            await site.wait(heard.EarTrusted)
            assert hearing.restarts == 1
            assert not Path(f"/proc/{ear}").exists()

    run(work())


@pytest.mark.slow
def test_the_ear_dies_with_its_controller(site: Site) -> None:
    ears = []

    async def work() -> None:
        async with site.running():
            ears.append(await site.wait_ear())

    run(work())
    assert not Path(f"/proc/{ears[0]}").exists()
