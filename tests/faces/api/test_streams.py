"""Events: numbered over restarts, streamed to many; gaps are seen, slow readers let go."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from holdfast.controller.events import KEPT, LEAP, Events, Position, read_position
from holdfast.faces.api.callers import who_is_local
from holdfast.faces.api.listening import SOCKET, on_socket, running
from holdfast.faces.api.server import Served, make_app
from holdfast.faces.api.streams import Streams
from holdfast.facts.events import EventKind
from holdfast.facts.roles import Role
from tests.controller.fake_agent import wait_for
from tests.faces.api.site import api

HOST = EventKind.HOST


def numbers(events: Events, after: Position) -> list[int]:
    return [number for number, _ in events.after(after).events]


def test_numbers_go_on_over_a_restart_and_leap_after_a_kill(tmp_path: Path) -> None:
    async def work() -> None:
        first = Events(tmp_path / "events.db")
        for number in range(3):
            first.note(HOST, f"event {number}")
        first.close()
        second = Events(tmp_path / "events.db")
        assert (second.newest, second.log) == (3, first.log)
        second.note(HOST, "one more")
        await second._shelf.kept()  # And then it is killed.
        third = Events(tmp_path / "events.db")
        third.note(HOST, "after the kill")
        assert third.newest == 4 + LEAP + 1, "a number that was lost is never another event's"
        assert numbers(third, Position(2)) == [3, 4, 4 + LEAP + 1]
        second.close()
        third.close()

    asyncio.run(work())


def test_the_log_is_bounded_and_what_it_lost_is_a_gap(tmp_path: Path) -> None:
    async def work() -> None:
        events = Events(tmp_path / "events.db", kept=10)
        for number in range(25):
            events.note(HOST, f"event {number}")
        batch = events.after(Position(4, events.log))
        assert batch.gap is not None
        assert (batch.gap.first, batch.gap.last) == (5, 15)
        assert [number for number, _ in batch.events] == list(range(16, 26))
        assert events.after(Position(15)).gap is None
        assert events.after(batch.position).events == ()
        ahead = events.after(Position(99))
        assert ahead.gap is not None
        assert (ahead.events, ahead.position.number) == ((), 25)
        other = events.after(Position(20, "another"))
        assert other.gap is not None
        assert "of another log" in other.gap.reason
        assert len(other.events) == 10, "all that it has"
        events.close()
        again = Events(tmp_path / "events.db", kept=10)
        assert numbers(again, Position(15)) == list(range(16, 26))
        again.close()

    asyncio.run(work())


@pytest.mark.parametrize("text", ["", "a", "1.x", "-1", "1" * 16, "\u0663", "x" * 65 + ".1"])
def test_what_is_no_position_is_not_guessed_at(text: str) -> None:
    with pytest.raises(ValueError, match="is no number of an event"):
        read_position(text)
    assert read_position("ab12.7") == Position(7, "ab12")


@contextlib.asynccontextmanager
async def streaming(folder: Path, **limits: Any) -> AsyncIterator[Events]:
    events = Events(folder / "events.db", kept=limits.pop("kept", KEPT))
    streams = Streams(events, **limits)

    async def ask(*_: object) -> Any:
        raise AssertionError("streams ask nobody")

    served = Served(ask=ask, denied=ask, identify=who_is_local, streams=streams)
    async with running(make_app(served)) as runner, on_socket(runner, folder / SOCKET):
        yield events
    events.close()


@contextlib.asynccontextmanager
async def reading(folder: Path, **headers: str) -> AsyncIterator[aiohttp.ClientResponse]:
    connector = aiohttp.UnixConnector(str(folder / SOCKET), limit=0)
    async with (
        aiohttp.ClientSession("http://x", connector=connector, read_bufsize=1 << 20) as session,
        session.get("/v1/events/stream", headers=headers) as answer,
    ):
        yield answer


async def message(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    """The next one, by field; comments are passed by."""
    found: dict[str, Any] = {}
    async with asyncio.timeout(10):
        while True:
            line = (await answer.content.readline()).decode().rstrip("\n")
            if not line and "data" in found:
                return {**found, "data": json.loads(found["data"])}
            name, _, value = line.partition(": ")
            if name:
                found[name] = value


def test_a_stream_begins_now_or_after_an_event_and_goes_on(tmp_path: Path) -> None:
    async def work() -> None:
        async with streaming(tmp_path) as events:
            events.note(HOST, "before")
            async with reading(tmp_path) as from_now:
                events.note(HOST, "one")
                first = await message(from_now)
                assert (first["data"]["text"], first["id"]) == ("one", f"{events.log}.2")
            async with reading(tmp_path, **{"Last-Event-ID": "1"}) as again:
                assert (await message(again))["data"]["text"] == "one"
                events.note(HOST, "two")
                assert (await message(again))["data"]["text"] == "two"

    asyncio.run(work())


def test_a_reader_that_comes_late_is_shown_the_gap_first(tmp_path: Path) -> None:
    async def work() -> None:
        async with streaming(tmp_path, kept=5) as events:
            for number in range(20):
                events.note(HOST, f"event {number}")
            async with reading(tmp_path, **{"Last-Event-ID": f"{events.log}.3"}) as late:
                gap = await message(late)
                assert gap["event"] == "gap"
                assert (gap["data"]["first"], gap["data"]["last"]) == (4, 15)
                assert (await message(late))["data"]["number"] == 16

    asyncio.run(work())


def test_a_silent_stream_says_that_it_is_still_there(tmp_path: Path) -> None:
    async def work() -> None:
        async with streaming(tmp_path, still_here_s=0.05), reading(tmp_path) as quiet:
            async with asyncio.timeout(10):
                while await quiet.content.readline() != b": still here\n":
                    continue

    asyncio.run(work())


@pytest.mark.slow
def test_a_reader_that_reads_nothing_is_let_go_and_others_hear_all(tmp_path: Path) -> None:
    async def work() -> None:
        async with streaming(tmp_path, write_limit_s=0.5) as events:
            with socket.socket(socket.AF_UNIX) as mute:
                mute.connect(str(tmp_path / SOCKET))
                mute.sendall(b"GET /v1/events/stream HTTP/1.1\r\nHost: x\r\n\r\n")
                async with reading(tmp_path) as reader:
                    heard = 0
                    for number in range(2_000):
                        events.note(HOST, f"event {number} {'x' * 1_000}")
                        if number % 100 == 99:
                            while heard <= number:
                                await message(reader)
                                heard += 1
                mute.setblocking(False)

                def was_let_go() -> bool:
                    try:
                        return not mute.recv(1 << 20)
                    except BlockingIOError:
                        return False
                    except ConnectionError:
                        return True

                await asyncio.sleep(1)  # It is judged by what it leaves unread so long.
                await wait_for(was_let_go)

    asyncio.run(work())


def test_more_streams_than_are_served_are_told_to_ask_instead(tmp_path: Path) -> None:
    async def work() -> None:
        async with (
            streaming(tmp_path, most=2) as events,
            reading(tmp_path) as one,
            reading(tmp_path) as two,
        ):
            async with reading(tmp_path) as third:
                assert third.status == 503
                assert "/v1/events" in (await third.json())["hint"]
            events.note(HOST, "to both")
            assert [(await message(each))["data"]["text"] for each in (one, two)] == ["to both"] * 2

    asyncio.run(work())


def test_a_token_that_is_revoked_ends_its_stream(tmp_path: Path) -> None:
    async def work() -> None:
        async with (
            api(tmp_path) as site,
            site.there(await site.token(Role.SEE)) as session,
            session.get("/v1/events/stream") as stream,
        ):
            site.controller.events.note(HOST, "what it may hear")
            async with asyncio.timeout(10):
                while b"may hear" not in await stream.content.readline():
                    continue
                await site.controller.tokens.revoke("the-see")
                for _ in range(3):
                    site.controller.events.note(HOST, "what it may not hear any more")
                rest = await stream.content.read()
            assert b"what it may not hear" not in rest

    asyncio.run(work())


def test_what_happens_in_the_controller_is_an_event(tmp_path: Path) -> None:
    async def work() -> None:
        async with api(tmp_path) as site, site.here() as session:
            async with session.get("/v1/events?limit=2") as answer:
                told = await answer.json()
            kinds = [event["kind"] for event in told["events"]]
            assert kinds == ["controller", "leadership"]
            await session.post("/v1/arm")
            async with session.get(f"/v1/events?after={told['next']}") as answer:
                after = await answer.json()
            assert [event["kind"] for event in after["events"]] == ["change"]
            assert after["gap"] is None
            assert after["next"] != told["next"]

    asyncio.run(work())


def test_the_end_of_the_controller_waits_for_no_reader(tmp_path: Path) -> None:
    async def work() -> None:
        async with contextlib.AsyncExitStack() as stack:
            site = await stack.enter_async_context(api(tmp_path))
            connector = aiohttp.UnixConnector(str(tmp_path / "run" / SOCKET))
            session = aiohttp.ClientSession("http://x", connector=connector)
            answer = await session.get("/v1/events/stream")
            assert site.controller.events.newest
            began = asyncio.get_running_loop().time()
            await stack.aclose()
            assert asyncio.get_running_loop().time() - began < 10
            answer.close()
            await session.close()

    asyncio.run(work())
