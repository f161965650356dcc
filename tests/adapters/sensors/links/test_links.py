"""What the kernel says of devices is read to the letter; torn and strange messages harm nobody."""

import asyncio
import os
import struct

import pytest

from holdfast.adapters.sensors.links import Links, messages, read_link
from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.vswitch import LinkGone, LinkSeen
from tests.adapters.contract_sensor import end
from tests.adapters.switch_stand_in import Seen

UP, RUNNING, LOOPBACK = 0x1, 0x40, 0x8
AF_BRIDGE = 7
LIMIT_S = 10.0


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def link(name: str = "eth9", flags: int = UP | RUNNING, *more: bytes, family: int = 0) -> bytes:
    head = struct.pack("=BxHiII", family, 1, 7, flags, 0)
    return head + attribute(3, name.encode() + b"\0") + b"".join(more)


def message(kind: int, payload: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(payload), kind, 0, 1, 0) + payload


def test_a_link_is_read_with_its_state_and_its_errors() -> None:
    counts = attribute(23, struct.pack("=4Q2Q", 10, 20, 30, 40, 5, 6) + bytes(120))
    more = (attribute(16, b"\x02"), attribute(33, b"\0"), counts)
    index, seen = read_link(link("eth9", UP, *more), Instant(3))
    assert index == 7
    assert seen == LinkSeen(
        at=Instant(3), device="eth9", has_carrier=False, is_up=True, state="down", errors=11
    )


@pytest.mark.parametrize(
    ("payload", "has_carrier", "is_up"),
    [
        (link("a", UP | RUNNING), True, True),
        (link("a", UP), False, True),
        (link("a", 0, attribute(33, b"\x01")), True, False),
        (link("a", UP, attribute(33, b"\x01"), b"\x02\0"), True, True),
    ],
)
def test_carrier_is_told_from_being_switched_on(
    payload: bytes, has_carrier: bool, is_up: bool
) -> None:
    _, seen = read_link(payload, Instant(1))
    assert seen is not None
    assert (seen.has_carrier, seen.is_up) == (has_carrier, is_up)


def test_the_loopback_and_what_has_no_name_are_none() -> None:
    assert read_link(link("lo", UP | LOOPBACK), Instant(1))[1] is None
    assert read_link(link("")[:20], Instant(1))[1] is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        struct.pack("=IHHII", 4, 16, 0, 1, 0),
        struct.pack("=IHHII", 900, 16, 0, 1, 0),
        message(16, b"short"),
        message(16, link(family=AF_BRIDGE)),
    ],
)
def test_what_is_torn_or_of_a_bridge_is_passed_over(data: bytes) -> None:
    assert list(messages(data)) == []


def test_several_messages_in_one_datagram_are_all_read() -> None:
    data = message(16, link("a")) + message(17, link("b")) + message(3, bytes(4))
    assert [kind for kind, _ in messages(data)] == [16, 17, 3]


@pytest.mark.lab
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes a network device")
def test_a_real_device_comes_loses_its_carrier_and_goes() -> None:
    name = f"hf{os.getpid() % 100_000}"

    async def ip(*words: str) -> int:
        done = await asyncio.create_subprocess_exec("ip", "link", *words)
        async with asyncio.timeout(LIMIT_S):
            return await done.wait()

    def of_it(one: Observation) -> LinkSeen | None:
        return one if isinstance(one, LinkSeen) and one.device == name else None

    async def story() -> None:
        seen = Seen()
        task = asyncio.create_task(Links(read_anew_s=0.2).run(seen.append))
        try:
            assert await ip("add", name, "type", "veth", "peer", "name", f"{name}b") == 0
            await ip("set", name, "up")
            await ip("set", f"{name}b", "up")
            await seen.until_one(lambda one: (it := of_it(one)) is not None and it.state == "up")
            seen.clear()
            await ip("set", f"{name}b", "down")
            await seen.until_one(lambda one: (it := of_it(one)) is not None and not it.has_carrier)
        finally:
            await ip("del", name)
        await seen.until_one(lambda one: isinstance(one, LinkGone) and one.device == name)
        await end(task)

    asyncio.run(story())
