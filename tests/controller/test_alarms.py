"""From an agent's entry to a webhook, all the way: order, duplicates, gaps, and kill -9."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
from websockets.exceptions import WebSocketException

from holdfast.facts import wire
from holdfast.facts.alarms import AlarmRecord, AlarmState
from holdfast.facts.events import Event
from holdfast.facts.settings import Exec, Settings, Webhook
from tests.adapters.http_receiver import Receiver
from tests.controller.fake_agent import FakeAgent, ask, ask_all, report, wait_for
from tests.controller.house import running, settings


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.down()


def hooked(folder: Path, receiver: Receiver, **fields: object) -> Settings:
    return settings(folder, webhooks=(Webhook(name="noc", url=receiver.url),), **fields)


def texts(receiver: Receiver) -> list[str]:
    return [body["record"]["alarm"]["text"] for body in receiver.alarms()]


def test_an_alarm_reaches_the_webhook_and_is_answered(tmp_path: Path, receiver: Receiver) -> None:
    async def work() -> None:
        async with running(hooked(tmp_path, receiver)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                await agent.tell(1, alarm=report(1))
                await agent.wait_answered(1)
                await wait_for(lambda: texts(receiver) == ["web-1 is gone, number 1"])
                await wait_for(lambda: house.controller.timings.count == 1)
            [record] = await ask(house.socket, "alarms")
            found = msgspec.convert(record, AlarmRecord)
            assert found.answered_utc_ms is not None
            assert found.fault_to_answer_ms is not None
            assert 2.5 < found.fault_to_answer_ms < 5_000
            status = await ask(house.socket, "status")
            assert status["report_p99_ms"] == found.fault_to_answer_ms
            assert status["notifiers"][0]["is_well"]
            assert status["open_alarms"] == 1

    asyncio.run(work())


def test_order_is_kept_while_the_receiver_is_down_and_comes_back(
    tmp_path: Path, receiver: Receiver
) -> None:
    async def work() -> None:
        async with running(hooked(tmp_path, receiver)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                for number in range(1, 61):
                    if number == 20:
                        receiver.down()
                    await agent.tell(number, alarm=report(number))
                await agent.wait_answered(60)
                receiver.up()
                await wait_for(lambda: len(receiver.alarms()) >= 60, 30)
        assert list(dict.fromkeys(texts(receiver))) == [
            f"web-1 is gone, number {number}" for number in range(1, 61)
        ]
        sequences = [body["sequence"] for _, body in receiver.arrived]
        distinct = sorted(set(sequences))
        assert distinct == list(range(1, distinct[-1] + 1)), "no hole"
        assert list(dict.fromkeys(sequences)) == distinct, "in order"
        assert all(body["gap"] == 0 for _, body in receiver.arrived)

    asyncio.run(work())


def test_duplicates_and_late_revisions_are_answered_and_change_nothing(
    tmp_path: Path, receiver: Receiver
) -> None:
    async def work() -> None:
        async with running(hooked(tmp_path, receiver)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                await agent.tell(1, alarm=report(1, revision=2))
                await agent.tell(1, alarm=report(1, revision=2))
                await agent.tell(2, alarm=report(1, revision=1))
                await agent.tell(3, alarm=report(1, revision=2, state=AlarmState.CLEARED))
                await agent.tell(4, alarm=report(2))
                await agent.wait(lambda: {a.sequence for a in agent.answered} == {1, 2, 3, 4})
            again = FakeAgent(house.socket)
            async with again.link():
                for number in (1, 2, 3, 4):
                    await again.tell(number, alarm=report(number))
                await again.wait_answered(4)
            await wait_for(lambda: len(receiver.alarms()) >= 2)
            assert [body["record"]["alarm"]["key"] for body in receiver.alarms()] == [
                report(1).alarm.key,
                report(2).alarm.key,
            ]
            assert (await ask(house.socket, "status"))["duplicates"] == 5

    asyncio.run(work())


def test_a_gap_in_the_numbers_is_seen_and_a_new_stream_is_none(
    tmp_path: Path, receiver: Receiver
) -> None:
    async def work() -> None:
        async with running(hooked(tmp_path, receiver)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                await agent.tell(1, alarm=report(1))
                await agent.tell(5, alarm=report(5), gap=3)
                await agent.tell(1, alarm=report(6), stream="boot-2.y")
                await agent.tell(2, alarm=report(7), stream="boot-2.y", gap=2)
                await agent.wait_answered(4)
            assert (await ask(house.socket, "status"))["gaps"] == 5

    asyncio.run(work())


def test_a_slow_and_a_dead_notifier_delay_neither_answer_nor_webhook(
    tmp_path: Path, receiver: Receiver
) -> None:
    programs = (
        Exec(name="slow", command=("/bin/sleep", "60")),
        Exec(name="dead", command=("/no/such/program",)),
    )

    async def work() -> None:
        async with running(hooked(tmp_path, receiver, execs=programs)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                for number in range(1, 21):
                    await agent.tell(number, alarm=report(number))
                await agent.wait_answered(20)
                await wait_for(lambda: len(receiver.alarms()) == 20)
                rows = {n["name"]: n for n in (await ask(house.socket, "status"))["notifiers"]}
                assert rows["slow"]["backlog"] == rows["dead"]["backlog"] == 20
                assert not rows["dead"]["is_well"]

    asyncio.run(work())


def test_a_webhook_that_never_answers_does_not_hold_up_the_answer(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.status = lambda _: 0

    async def work() -> None:
        async with running(hooked(tmp_path, receiver)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                await agent.tell(1, alarm=report(1))
                await agent.wait_answered(1)

    asyncio.run(work())


def test_each_change_of_an_alarm_is_an_event_in_its_order(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            since = house.controller.events.position
            agent = FakeAgent(house.socket)
            async with agent.link():
                await agent.tell(1, alarm=report(1))
                await agent.tell(2, alarm=report(1, revision=2, state=AlarmState.CHANGED))
                await agent.tell(3, alarm=report(1, revision=3, state=AlarmState.CLEARED))
                await agent.wait_answered(3)
            batch = house.controller.events.after(since)
            told = [msgspec.json.decode(raw, type=Event) for _, raw in batch.events]
            records = [msgspec.convert(e.data, AlarmRecord) for e in told if e.kind == "alarm"]
            assert [record.alarm.revision for record in records] == [1, 2, 3]
            words = [event.text.partition(": ")[0] for event in told if event.kind == "alarm"]
            assert words == ["raised (critical)", "changed (critical)", "cleared"]
            [host] = [event.text for event in told if event.kind == "host"]
            assert host == "the agent of host-a is linked"

    asyncio.run(work())


def test_an_alarm_is_acknowledged_and_an_unknown_one_named(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                await agent.tell(1, alarm=report(1))
                await agent.wait_answered(1)
            key = report(1).alarm.key
            assert (await ask(house.socket, "acknowledge", key=key))["acknowledged_by"] == "anna"
            wrong = await ask_all(house.socket, "acknowledge", key=key.replace("gone", "gon"))
            assert (wrong.code, key in wrong.hint) == (2, True)

    asyncio.run(work())


@pytest.mark.slow
def test_its_own_slowness_is_an_alarm(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                for number in range(1, 21):
                    slow = msgspec.structs.replace(report(number), fault_age_us=1_800_000)
                    await agent.tell(number, alarm=slow)
                await agent.wait_answered(20)

                def is_raised() -> bool:
                    records = house.controller.vim._records.values()
                    return any(r.alarm.condition == "reporting-slow" for r in records)

                await wait_for(is_raised)

    asyncio.run(work())


PROGRAM = """
import sys, msgspec
from holdfast.controller.main import run
from holdfast.facts.settings import Settings
run(msgspec.json.decode(sys.argv[1].encode(), type=Settings))
"""


@contextlib.contextmanager
def process(given: Settings) -> Iterator[subprocess.Popen[bytes]]:
    argument = msgspec.json.encode(given).decode()
    one = subprocess.Popen([sys.executable, "-c", PROGRAM, argument], stderr=subprocess.PIPE)
    try:
        yield one
    finally:
        one.kill()
        one.wait(10)
        assert one.stderr is not None
        one.stderr.close()


@pytest.mark.slow
def test_kill_9_of_the_controller_at_any_instant_loses_nothing(
    tmp_path: Path, receiver: Receiver
) -> None:
    given = hooked(tmp_path, receiver)
    socket = Path(given.run_dir) / "controller.sock"
    most, kills = 400, 6

    async def tell_until_answered(agent: FakeAgent, waiting: dict[int, wire.Entry]) -> None:
        """As the real agent does: what was not answered is told again, in order."""
        try:
            async with agent.link():
                for sequence, entry in list(waiting.items()):
                    await agent.tell(sequence, alarm=entry.alarm)
                    for answered in agent.answered:
                        waiting.pop(answered.sequence, None)
                await agent.wait(lambda: len(agent.answered) >= len(waiting))
        except (OSError, TimeoutError, WebSocketException):
            await asyncio.sleep(0.05)
        for answered in agent.answered:
            waiting.pop(answered.sequence, None)

    async def work() -> None:
        waiting = {
            n: wire.Entry(host="host-a", stream="boot-1.x", sequence=n, alarm=report(n))
            for n in range(1, most + 1)
        }
        for number in range(kills + 1):
            with process(given) as controller:
                await wait_for(lambda: _answers(socket), 30)
                telling = asyncio.create_task(tell_until_answered(FakeAgent(socket), waiting))
                if number < kills:
                    target = len(receiver.arrived) + 15 + 7 * number
                    await wait_for(partial(_has, receiver, target), 30)
                    os.kill(controller.pid, signal.SIGKILL)
                    controller.wait(10)
                    await telling
                    continue
                await telling
                assert waiting == {}
                await wait_for(lambda: len(set(texts(receiver))) == most, 30)

    asyncio.run(work())
    order = list(dict.fromkeys(texts(receiver)))
    assert order == [f"web-1 is gone, number {number}" for number in range(1, most + 1)]
    names = list(dict.fromkeys((b["stream"], b["sequence"]) for _, b in receiver.arrived))
    sequences = [sequence for _, sequence in names]
    assert len({stream for stream, _ in names}) == 1, "the stream goes on within a boot"
    assert sequences == list(range(1, len(sequences) + 1)), "no hole, in order"
    assert len(texts(receiver)) < most + 40 * kills


def _has(receiver: Receiver, count: int) -> bool:
    return len(receiver.arrived) >= count


def _answers(socket: Path) -> bool:
    """A killed controller leaves its socket behind: that it exists says nothing."""
    import socket as sockets  # Late: the name is taken above.

    with sockets.socket(sockets.AF_UNIX) as probe:
        try:
            probe.connect(str(socket))
        except OSError:
            return False
    return True


@pytest.mark.slow
def test_a_second_controller_is_refused_with_a_sentence(tmp_path: Path) -> None:
    given = settings(tmp_path)

    async def up() -> None:
        await wait_for(lambda: _answers(Path(given.run_dir) / "controller.sock"), 30)

    with process(given) as first:
        asyncio.run(up())
        with process(given) as second:
            assert second.wait(20) != 0
            assert second.stderr is not None
            said = second.stderr.read()
            assert b"another controller runs with" in said
        first.send_signal(signal.SIGTERM)
        assert first.wait(20) == 0
    assert not (Path(given.run_dir) / "controller.sock").exists()
