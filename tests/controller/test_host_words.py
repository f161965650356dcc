"""What a host last said is at the controller when the host is lost, also after a restart."""

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import msgspec

from holdfast.controller import host_words
from holdfast.controller.copies import FILE_BYTES
from holdfast.facts import wire
from holdfast.facts.instants import Instant
from holdfast.facts.last_words import Noted, Sample
from tests.controller.fake_agent import FakeAgent, ask, ask_all, summary, wait_for
from tests.controller.house import House, running, settings
from tests.controller.test_questions import incident

PSI = {"memory": "some avg10=91.00 total=3\nfull avg10=88.50 total=2"}


def records(number: int, boot: str = "boot-1", **fields: Any) -> wire.HostRecords:
    log = tuple(f"[{n}.000000] line {n} of {boot}" for n in range(max(0, number - 9), number + 1))
    return wire.HostRecords(utc_ms=number, boot=boot, kernel_log=log, pressure=PSI, **fields)


def recorded() -> str:
    samples = [
        Sample(
            at=Instant(n * 1_000_000_000),
            utc_ms=n * 1_000,
            cpu_ms=n * 500,
            rss_kib=2_048,
            read_bytes=0,
            written_bytes=0,
            net_in_bytes=0,
            net_out_bytes=0,
        )
        for n in (1, 2)
    ]
    note = Noted(at=Instant(5), utc_ms=2_500, kind="qmp", text="STOP {}")
    return "\n".join(msgspec.json.encode(one).decode() for one in (*samples, note))


async def words(house: House, name: str = "host-a") -> dict[str, Any]:
    data: dict[str, Any] = (await ask(house.socket, "last-words", vm=name))["host_words"]
    return data


async def lose_a_host(house: House) -> None:
    agent = FakeAgent(house.socket)
    async with agent.link():
        await agent.send(wire.Inventory(vms=(summary(),)))
        await agent.send(wire.RecorderCopy(pieces={"vm-1": recorded()}))
        await agent.send(records(12, hardware=("[3.000000] mce: [Hardware Error]: x",)))
        await agent.send(records(17, earlier={"dmesg-erst-1": "Kernel panic\nnot syncing"}))
        await wait_for(lambda: len(house.controller.host_words.tell("host-a")["kernel_log"]) == 15)


def test_what_a_lost_host_said_is_told_also_after_a_restart(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            await lose_a_host(house)
        async with running(settings(tmp_path)) as house:
            said = await words(house)
            assert (said["host_name"], said["is_up"], said["boot"]) == ("host-a", False, "boot-1")
            numbers = [int(line.split()[2]) for line in said["kernel_log"]]
            assert numbers == list(range(3, 18)), "each once, though they overlapped"
            assert said["hardware"] == ["[3.000000] mce: [Hardware Error]: x"]
            assert [one["utc_ms"] for one in said["pressure"]] == [12, 17]
            assert said["pressure"][0]["said"] == PSI
            assert said["earlier"] == {"dmesg-erst-1": "Kernel panic\nnot syncing"}
            (vm,) = said["vms"]
            assert (vm["name"], vm["told_utc_ms"], len(vm["samples"])) == ("web-1", 2_500, 2)
            copy = (await ask(house.socket, "last-words", vm="web-1"))["vm_copy"]
            assert (copy["host_name"], copy["notes"][0]["text"]) == ("host-a", "STOP {}")

    asyncio.run(work())


def test_of_a_host_that_died_its_vms_are_told_as_they_were_then(tmp_path: Path) -> None:
    """The copies go on where another host runs them: that is no word of the dead one."""

    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            await lose_a_host(house)
            kept = house.controller.host_words
            (now,) = kept.tell("host-a")["vms"]
            (then,) = kept.tell("host-a", until_utc_ms=1_400)["vms"]
            assert (now["told_utc_ms"], len(now["samples"])) == (2_500, 2)
            assert (then["told_utc_ms"], len(then["samples"]), then["notes"]) == (1_000, 1, [])
            lost = msgspec.structs.replace(
                incident(1), id="a-1", host="host-a", vm="", life=None, fault_utc_ms=1_400 - 3_000
            )
            house.controller.entries.keep_incident("host-a", lost, ("site", 1))
            told = await ask(house.socket, "explain", incident="a-1")
            assert told["host_words"]["vms"] == [then]

    asyncio.run(work())


def test_another_boot_is_another_story(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                await agent.send(records(12))
                await agent.send(records(3, boot="boot-2"))
                await wait_for(
                    lambda: house.controller.host_words.tell("host-a")["boot"] == "boot-2"
                )
                said = await words(house)
                assert said["is_up"]
                assert len(said["kernel_log"]) == 4
                assert len(said["pressure"]) == 1

    asyncio.run(work())


def test_records_are_bounded_and_their_owners_alone(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            kept = house.controller.host_words
            long = tuple(f"[{n}.0] {'x' * 290}" for n in range(200))
            for number in range(20):
                lines = tuple(f"{line}{number}" for line in long)
                kept.take("host-a", wire.HostRecords(utc_ms=1, kernel_log=lines, pressure=PSI))
            folder = tmp_path / "state/controller/host-records"
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            for path in folder.iterdir():
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
                assert path.stat().st_size <= FILE_BYTES
            kept.take("../evil", wire.HostRecords(utc_ms=1, kernel_log=long))
            assert kept.losses().count == 1

    asyncio.run(work())


def test_a_host_that_nobody_knows_is_named(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            await lose_a_host(house)
            reply = await ask_all(house.socket, "last-words", vm="web-2")
            assert (reply.code, reply.error) == (2, "there is no VM 'web-2'")

    asyncio.run(work())


def test_damaged_files_cost_their_lines_and_nothing_else(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            await lose_a_host(house)
            folder = tmp_path / "state/controller/host-records"
            for lane in (host_words.PRESSURE, host_words.EARLIER, host_words.KERNEL):
                with (folder / f"host-a.{lane}.jsonl").open("ab") as file:
                    file.write(b"\xff\x00 nonsense\nboot-1\tx\n\n" + json.dumps([1]).encode())
            copies = tmp_path / "state/recorder-copies/vm-1.jsonl"
            copies.write_bytes(b"nonsense\n" + copies.read_bytes())
            said = await words(house)
            assert said["vms"][0]["samples"]

    asyncio.run(work())
