"""Rolling upgrades in both orders: one side speaks the version before or after, with its frames."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import unix_connect
from websockets.asyncio.server import ServerConnection, unix_serve

from holdfast.adapters.drivers.dials import unix_dial
from holdfast.adapters.outboxes.disk import DiskOutbox
from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.agent.uplink import Uplink
from holdfast.facts import actions as act
from holdfast.facts import wire
from tests.controller.fake_agent import alarm, report, wait_for
from tests.controller.house import running, settings

BEFORE, AFTER = wire.VERSION - 1, wire.VERSION + 1
# What the release before this one did not know yet, and the one after might say.
NEW_IN_HELLO = ("pulse_key", "addresses", "rack", "switch", "zone", "features", "is_amnesiac")


def as_spoken(frame: msgspec.Struct, version: int, without: tuple[str, ...] = ()) -> str:
    fields: dict[str, Any] = msgspec.json.decode(wire.encode(frame))
    if "version" in fields:
        fields["version"] = version
    if version == BEFORE:
        fields = {name: value for name, value in fields.items() if name not in without}
    if version == AFTER:
        fields["mood"] = {"of": ["a", "later", "release"]}
    return msgspec.json.encode(fields).decode()


@pytest.mark.slow
@pytest.mark.parametrize("version", [BEFORE, AFTER])
def test_a_controller_takes_what_an_agent_of_another_version_tells(
    tmp_path: Path, version: int
) -> None:
    """Controllers first: the agents are still of the version before. Agents first: after."""
    hello = wire.Hello(
        version=version,
        host="host-a",
        host_name="host-a",
        boot="boot-1",
        state_id="state-1",
        stream="boot-1.x",
        pulse_key="ab" * 32,
    )
    entry = wire.Entry(host="host-a", stream="boot-1.x", sequence=1, alarm=report())

    async def work() -> None:
        store = StoreInMemory()
        async with (
            running(settings(tmp_path), store) as house,
            unix_connect(str(house.socket), compression=None) as link,
        ):
            await link.send(as_spoken(hello, version, NEW_IN_HELLO))
            welcome = wire.decode(await asyncio.wait_for(link.recv(), 10))
            assert isinstance(welcome, wire.Welcome)
            assert (welcome.refusal, welcome.is_complete) == ("", True)
            await link.send('{"is": "FrameOfALaterRelease", "x": 1}')
            await link.send(as_spoken(entry, version))
            answered = wire.decode(await asyncio.wait_for(link.recv(), 10))
            assert isinstance(answered, wire.EntryAnswered)
            assert house.controller.door.unknown == 1, "the unknown is counted"
            assert len(house.controller.vim.open_ones()) == 1
            # A new leader asks to greet anew; one that does not know the question dials again.
            store.elect_another()
            await house.controller.leadership.step()
            store.lose_lease()
            await house.controller.leadership.step()
            frame = wire.decode(await asyncio.wait_for(link.recv(), 10))
            assert isinstance(frame, wire.Question)
            unknown = wire.Reply(id=frame.id, error="the agent does not know the question", code=2)
            await link.send(as_spoken(unknown, version))
            await asyncio.wait_for(link.wait_closed(), 10)

    asyncio.run(work())


@pytest.mark.parametrize("version", [BEFORE, AFTER])
def test_an_agent_tells_a_controller_of_another_version(tmp_path: Path, version: int) -> None:
    """Agents first: the controllers are still of the version before. Controllers first: after."""
    heard: list[wire.AnyFrame] = []
    welcomes: list[wire.Welcome] = []

    async def serve(link: ServerConnection) -> None:
        async for raw in link:
            frame = wire.decode(raw)
            heard.append(frame)
            if isinstance(frame, wire.Hello):
                welcome = wire.Welcome(version=version, term=3, store_id="s")
                await link.send(as_spoken(welcome, version, ("refusal", "released")))
                await link.send('{"is": "FrameOfALaterRelease", "x": 1}')
                question = wire.Question(id=4, name="question-of-a-later-release")
                await link.send(as_spoken(question, version, ("term",)))
            elif isinstance(frame, wire.Entry):
                answered = wire.EntryAnswered(
                    stream=frame.stream, sequence=frame.sequence, arrived_utc_ms=1
                )
                await link.send(as_spoken(answered, version))

    async def obey(question: wire.Question) -> wire.Reply:
        return wire.Reply(id=question.id, error="the agent does not know the question", code=2)

    async def work() -> None:
        outbox = DiskOutbox(tmp_path / "outbox", "boot-1")
        uplink = Uplink(
            dials=[unix_dial("controller", tmp_path / "controller.sock")],
            outbox=outbox,
            boot="boot-1",
            host="host-a",
            hello=lambda: wire.Hello(
                version=wire.VERSION,
                host="host-a",
                host_name="host-a",
                boot="boot-1",
                state_id="s",
                stream="x",
            ),
            welcomed=welcomes.append,
            obey=obey,
            see=lambda _: None,
        )
        async with await unix_serve(serve, str(tmp_path / "controller.sock"), compression=None):
            dialing = asyncio.create_task(uplink.run())
            try:
                uplink.report(act.Report(alarm=alarm()))
                await wait_for(lambda: not outbox.waiting)
                await wait_for(lambda: any(isinstance(one, wire.Reply) for one in heard))
            finally:
                dialing.cancel()
                await asyncio.wait([dialing])
                outbox.close()
        assert [(one.version, one.refusal) for one in welcomes] == [(version, "")]

    asyncio.run(work())
