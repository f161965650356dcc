"""The ear reads before it judges, and knows when it cannot know. Datagrams and sockets are real."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from holdfast.controller.ear_sockets import Clock, PlaneEar
from tests.controller.ear_room import LOOK, Room
from tests.controller.ear_scene import MISSES, MS, PERIOD, FakeHost, brief
from tests.ports import free_port


@pytest.fixture
def room() -> Iterator[Room]:
    with ExitStack() as own:
        yield Room(own)


@pytest.fixture
def make_room() -> Iterator[Callable[..., Room]]:
    with ExitStack() as own:
        yield lambda **choices: Room(own, **choices)


def kinds(said: list[dict[str, Any]]) -> list[str]:
    return [one["is"] for one in said]


def test_a_host_that_pulses_is_heard_and_one_that_died_is_silent(room: Room) -> None:
    alive, dead = FakeHost("h1"), FakeHost("h2")
    room.know(alive, dead)
    assert kinds(room.turns(500, alive, dead)) == ["heard", "said"] * 2
    assert brief(room.turns(500, alive)) == [("silent", "h2", "a", "boot-1")]


def test_what_waits_in_the_socket_is_read_before_anybody_is_judged(room: Room) -> None:
    host = FakeHost("h1")
    room.know(host)
    room.turns(500, host)
    room.pass_time(150)
    room.send(host)
    assert room.turn(after_ms=90, late_ms=80) == []


def test_a_late_ear_counts_from_when_the_kernel_received(room: Room) -> None:
    host = FakeHost("h1")
    room.know(host)
    room.turns(500, host)
    room.send(host)
    received = room.clocks.monotonic()
    room.turn(after_ms=90, late_ms=80)
    [silent] = room.turns(300)
    assert silent["is"] == "silent"
    assert silent["last"] == pytest.approx(received, abs=5 * MS)
    assert silent["at"] < received + (PERIOD * MISSES + 2 * LOOK + 20) * MS


def test_an_ear_that_was_stopped_takes_nobody_for_silent(room: Room) -> None:
    host = FakeHost("h1")
    room.know(host)
    room.turns(500, host)
    for _ in range(20):
        room.pass_time(PERIOD)
        room.send(host)
    said = room.turn(after_ms=0, late_ms=1_000)
    assert [(one["is"], one["reason"]) for one in said] == [("doubted", "it was late")]
    assert kinds(room.turns(400, host)) == ["trusted"]


def test_a_machine_that_stood_still_takes_nobody_for_silent(room: Room) -> None:
    """Nothing waits in its sockets: it could not have heard anybody."""
    hosts = [FakeHost("h1"), FakeHost("h2")]
    room.know(*hosts)
    room.turns(500, *hosts)
    assert kinds(room.turn(after_ms=1_000, late_ms=990)) == ["doubted"]
    assert kinds(room.turns(400, *hosts)) == ["trusted"]


def test_after_it_stood_still_a_host_has_all_its_misses_again(room: Room) -> None:
    host = FakeHost("h1")
    room.know(host)
    room.turns(500, host)
    room.turn(after_ms=1_000, late_ms=990)
    assert kinds(room.turns(130)) == ["trusted"], "two pulses are lost, and that is no silence"
    assert kinds(room.turns(400, host)) == []


def test_who_died_while_the_ear_was_stopped_is_told_as_soon_as_it_keeps_time(room: Room) -> None:
    alive, dead = FakeHost("h1"), FakeHost("h2")
    room.know(alive, dead)
    room.turns(500, alive, dead)
    for _ in range(20):
        room.pass_time(PERIOD)
        room.send(alive)
    assert kinds(room.turn(after_ms=0, late_ms=1_000)) == ["doubted"]
    woke = room.clocks.monotonic()
    said = room.turns(200, alive)
    assert [(one["is"], one.get("host")) for one in said] == [
        ("trusted", None),
        ("silent", "h2"),
    ]
    assert said[1]["at"] - woke < (2 * PERIOD + 3 * LOOK + 20) * MS
    assert said[1]["missed"] >= 20, "the time is excused only while nobody was heard"


def test_in_doubt_a_host_that_is_heard_is_told_and_nobody_is_silent(room: Room) -> None:
    host = FakeHost("h1")
    room.know(host)
    room.turns(500, host)
    room.turns(300)
    room.turn(after_ms=1_000, late_ms=990)
    room.send(host)
    assert brief(room.turn()) == [("heard", "h1", "a", "boot-1")]


@pytest.mark.parametrize("hours", [1, -1])
@pytest.mark.parametrize("late_ms", [0, 80, 1_000])
def test_a_clock_that_is_set_silences_nobody_and_hides_nobody(
    room: Room, hours: int, late_ms: int
) -> None:
    alive, dead = FakeHost("h1"), FakeHost("h2")
    room.know(alive, dead)
    room.turns(500, alive, dead)
    room.pass_time(late_ms / 2)
    room.send(alive)
    room.clocks.set += hours * 3_600_000 * MS
    room.turn(after_ms=late_ms / 2 + 10, late_ms=late_ms)
    before = room.clocks.monotonic()
    said = [one for one in room.turns(1_600, alive) if one["is"] == "silent"]
    assert [one["host"] for one in said] == ["h2"]
    assert said[0]["at"] - before < (PERIOD * MISSES + late_ms + 2 * PERIOD + 2 * LOOK + 50) * MS


def test_where_the_kernel_had_no_room_nobody_is_silent(make_room: Callable[..., Room]) -> None:
    room = make_room(buffer_bytes=16 << 10)
    host, talker = FakeHost("h1"), FakeHost("h2")
    room.know(host, talker)
    room.turns(500, host, talker)
    room.pass_time(190)
    for _ in range(300):
        room.send(talker)
    room.send(host)
    said = room.turn(after_ms=20)
    assert [(one["is"], one.get("reason")) for one in said] == [
        ("doubted", "more came than could be read")
    ]
    assert room.ear.overflows == 1
    assert kinds(room.turns(400, host, talker)) == ["trusted"]


def test_a_flood_of_a_stranger_is_shut_out_for_a_while(room: Room) -> None:
    host = FakeHost("h1")
    room.know(host)
    room.turns(500, host)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flooder:
        flooder.bind(("127.0.0.9", 0))
        flood(flooder, room.port)
        room.turns(300, host)
        assert room.ear.counts()["shut_out"] == ["127.0.0.9"]
        refused = room.ear.hosts.refused["malformed"]
        flood(flooder, room.port)
        assert room.turns(300, host) == []
        assert room.ear.hosts.refused["malformed"] == refused, "the kernel drops it"
    assert room.turns(6_000, host) == []
    assert room.ear.counts()["shut_out"] == []
    assert "silent" not in kinds(room.said)


def test_a_flood_in_the_name_of_a_hosts_address_does_not_silence_the_host(room: Room) -> None:
    host = FakeHost("h1")
    room.know(host)
    room.turns(1_500, host)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flooder:
        flooder.bind(("127.0.0.1", 0))
        flood(flooder, room.port)
        room.turns(300, host)
        refused = room.ear.hosts.refused["malformed"]
        flood(flooder, room.port)
        room.turns(500, host)
        assert room.ear.hosts.refused["malformed"] == refused
    assert kinds(room.said) == ["heard", "said"]


def test_a_flood_with_a_hosts_own_sender_does_not_silence_the_host(room: Room) -> None:
    """Anybody can write the address and port of a host's pulse on a datagram."""
    host = FakeHost("h1")
    room.know(host)
    room.turns(1_500, host)
    for _ in range(3):
        flood(room.sender, room.port)
        room.turns(500, host)
    assert kinds(room.said) == ["heard", "said"]
    assert room.ear.counts()["shut_out"] == []
    assert room.ear.counts()["let_in"] == ["127.0.0.1"], "and that is said"
    room.turns(6_000, host)
    assert room.ear.counts()["let_in"] == []


def test_a_flood_with_a_hosts_own_sender_that_began_before_the_ear_does_not_either(
    room: Room,
) -> None:
    host = FakeHost("h1")
    room.know(host)
    flood(room.sender, room.port)
    room.turns(200)
    flood(room.sender, room.port)
    assert kinds(room.turns(500, host)) == ["heard", "said"]


def test_a_host_that_becomes_known_while_its_address_is_shut_out_is_heard(room: Room) -> None:
    host = FakeHost("h1")
    room.turns(1_500)
    flood(room.sender, room.port)
    room.turns(300)
    assert room.ear.counts()["shut_out"] == ["127.0.0.1"]
    room.know(host)
    assert kinds(room.turns(500, host)) == ["heard", "said"]


def test_a_flood_with_a_hosts_own_sender_that_is_too_much_makes_the_ear_doubt(
    make_room: Callable[..., Room],
) -> None:
    room = make_room(buffer_bytes=512 << 10)
    host, other = FakeHost("h1"), FakeHost("h2")
    room.know(host, other)
    room.turns(1_500, host, other)
    flood(room.sender, room.port, count=400)
    assert room.turns(100, host, other) == []
    for _ in range(10):
        flood(room.sender, room.port, count=3_000)
        room.turns(50, host, other)
    doubted = [one["reason"] for one in room.said if one["is"] == "doubted"]
    assert doubted[0] == (
        "more came than could be read, and a flood comes in the name of 127.0.0.1"
    )
    room.turns(500, host, other)
    assert kinds(room.said)[-1] == "trusted"
    assert "silent" not in kinds(room.said)


def flood(flooder: socket.socket, port: int, count: int = 1_000) -> None:
    for _ in range(count):
        flooder.sendto(b"rubbish", ("127.0.0.1", port))


def test_what_is_refused_in_a_hosts_name_is_told_once_a_second(room: Room) -> None:
    host, forger = FakeHost("h1"), FakeHost("h1", key=b"f" * 32)
    room.know(host)
    said = [one for one in room.turns(3_200, host, forger) if one["is"] == "refused"]
    assert [(one["host"], one["plane"], one["reason"], one["sender"]) for one in said] == [
        ("h1", "a", "wrong key", "127.0.0.1")
    ] * 3
    assert sum(one["count"] for one in said) >= 55


def test_a_port_that_is_taken_is_said(room: Room) -> None:
    with pytest.raises(OSError, match="in use"):
        PlaneEar("a", "127.0.0.1", room.port)


def test_the_kernel_says_when_it_received(room: Room) -> None:
    clock, came = Clock(), []
    with ExitStack() as own:
        ear = PlaneEar("a", "127.0.0.1", free_port())
        own.callback(ear.close)
        began = clock.monotonic()
        room.sender.sendto(b"x", (ear.address, ear.port))
        sent = clock.monotonic()
        time.sleep(0.05)
        heard = ear.drain_late(lambda *taken: came.append(taken), began - 1_000 * MS, clock)
    assert came == [(b"x", "a", room.sender.getsockname(), heard[0])]
    assert began - 2 * MS <= heard[0] <= sent + 2 * MS
