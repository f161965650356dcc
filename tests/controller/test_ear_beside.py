"""What the ear hears beside pulses: kernels that panic, and hosts that write a crash dump.

covers: H7
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.controller.ear_room import Room
from tests.controller.ear_scene import FakeHost
from tests.ports import free_port


@pytest.fixture
def make_room() -> Iterator[Callable[..., Room]]:
    with ExitStack() as own:
        yield lambda **choices: Room(own, **choices)


def test_a_kernel_that_panics_is_heard(make_room: Callable[..., Room]) -> None:
    port = free_port()
    room = make_room(gasp_port=port)
    host = FakeHost("h1")
    room.know(host)
    room.turns(500, host)
    for text in (
        b"eth0: link is up",
        b"4,1,2,-;Kernel panic - not syncing: Attempted to kill init",
    ):
        room.sender.sendto(text, ("127.0.0.1", port))
    said = room.turn()
    assert [(one["is"], one["host"], one["text"]) for one in said] == [
        ("gasp", "h1", "4,1,2,-;Kernel panic - not syncing: Attempted to kill init")
    ]


def test_a_gasp_of_a_stranger_says_nothing(make_room: Callable[..., Room]) -> None:
    port = free_port()
    room = make_room(gasp_port=port)
    room.sender.sendto(b"Kernel panic", ("127.0.0.1", port))
    assert room.turn() == []


# As fence_kdump_send sends it, from a processor of either kind.
DUMPS = (b"\x40\x2a\x30\x1b\x01\0\0\0", b"\x1b\x30\x2a\x40\0\0\0\x01")


def dumping(make_room: Callable[..., Room]) -> tuple[Room, int]:
    port = free_port()
    room = make_room(kdump_port=port)
    return room, port


@pytest.mark.parametrize("word", DUMPS)
def test_a_host_that_writes_a_crash_dump_is_heard(
    make_room: Callable[..., Room], word: bytes
) -> None:
    room, port = dumping(make_room)
    host = FakeHost("h1")
    room.know(host)
    room.turns(500, host)
    room.sender.sendto(word, ("127.0.0.1", port))
    assert [(one["is"], one["host"]) for one in room.turn()] == [("dump", "h1")]


def test_what_is_no_word_of_a_dump_says_nothing(make_room: Callable[..., Room]) -> None:
    room, port = dumping(make_room)
    host = FakeHost("h1")
    room.know(host)
    room.turns(500, host)
    for word in (
        b"",
        b"\0",
        DUMPS[0][:7],
        DUMPS[0] + b"\0",
        DUMPS[0][:4] + b"\x02\0\0\0",
        b"x" * 2_000,
    ):
        room.sender.sendto(word, ("127.0.0.1", port))
    assert room.turn() == []


def test_a_stranger_writes_no_dump(make_room: Callable[..., Room]) -> None:
    room, port = dumping(make_room)
    room.sender.sendto(DUMPS[0], ("127.0.0.1", port))
    assert room.turn() == []


def test_a_flood_of_dumps_is_told_once_a_second(make_room: Callable[..., Room]) -> None:
    room, port = dumping(make_room)
    host = FakeHost("h1")
    room.know(host)
    room.turns(500, host)
    said = []
    for _ in range(60):
        for _ in range(50):
            room.sender.sendto(DUMPS[0], ("127.0.0.1", port))
        said += room.turns(50, host)
    assert 3 <= len([one for one in said if one["is"] == "dump"]) <= 4
