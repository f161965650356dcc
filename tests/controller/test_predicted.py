"""A host that is expected to fail: taken from whoever says so, kept, told, and taken back.

covers: H2
"""

import asyncio
from pathlib import Path

from tests.controller.fake_agent import ask, ask_all
from tests.controller.test_fencing import house_with_a_host

WHY = "its memory corrects errors each minute"


def test_it_is_kept_shown_and_taken_back(tmp_path: Path) -> None:
    async def work() -> None:
        async with house_with_a_host(tmp_path) as (house, _):
            bare = await ask_all(house.socket, "host-predict", host="host-a", reason=" \n ")
            assert (bare.code, bare.error) == (2, "why it is expected to fail is not said")
            unknown = await ask_all(house.socket, "host-predict", host="host-z", reason=WHY)
            assert "host-z" in unknown.error
            said = await ask(house.socket, "host-predict", host="host-a", reason=f" {WHY}\n")
            assert (said["is_predicted"], said["reason"], said["by"]) == (True, WHY, "anna")
            assert said["kept"] == "host-a is in report mode"
            assert [one["name"] for one in said["vms"]] == ["web-1"]
            since = said["since_utc_ms"]
            again = await ask(house.socket, "host-predict", host="host-a", reason="its disk, too")
            assert (again["reason"], again["since_utc_ms"]) == ("its disk, too", since)
            [row] = await ask(house.socket, "hosts")
            assert row["predicted"] == "its disk, too"
            assert (await ask(house.socket, "prediction", host="host-a"))["is_predicted"]
            over = await ask(house.socket, "host-unpredict", host="host-a")
            assert (over["is_predicted"], over["was_predicted"]) == (False, True)
            again = await ask(house.socket, "host-unpredict", host="host-a")
            assert again["was_predicted"] is False
            told = (await ask(house.socket, "audit"))["changes"]
            assert [one["what"] for one in told] == ["host-predict"] * 4 + ["host-unpredict"] * 2

    asyncio.run(work())


def test_it_is_an_alarm_while_it_stands(tmp_path: Path) -> None:
    async def work() -> None:
        async with house_with_a_host(tmp_path) as (house, _):

            async def wait_for_states(*wanted: str) -> None:
                async with asyncio.timeout(20):
                    while True:
                        told = [one["alarm"] for one in await ask(house.socket, "alarms")]
                        if [one["state"] for one in told] == list(wanted):
                            return
                        await asyncio.sleep(0.05)

            await ask(house.socket, "host-predict", host="host-a", reason=WHY)
            await wait_for_states("raised")
            await ask(house.socket, "host-unpredict", host="host-a")
            await wait_for_states()

    asyncio.run(work())
