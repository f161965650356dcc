"""The program of the pulse takes the leader's grants, and pets a watchdog behind a socket.

covers: H9
"""

import dataclasses
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.agent.lease_board import LEASE_BOARD, SharedLeaseBoard
from holdfast.facts.lease_times import LEASE_MS, WATCHDOG_MS
from holdfast.facts.lease_words import Armed
from holdfast.facts.pulse import Grant, decode, encode_grant, read_key
from tests.agent.pulse_scene import KEY, LIMIT_S, Heard, pulse_file, pulsing, write

NS_PER_MS = 1_000_000


class Dog:
    """What listens behind the socket of a watchdog."""

    def __init__(self, path: Path) -> None:
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._door.bind(str(path))
        self._door.listen()
        self._visitor: socket.socket | None = None

    def hear(self, limit_s: float = LIMIT_S) -> str:
        """One word, answered. Raises TimeoutError."""
        if self._visitor is None:
            self._door.settimeout(limit_s)
            self._visitor, _ = self._door.accept()
        self._visitor.settimeout(limit_s)
        said = self._visitor.recv(64)
        if said.startswith(b"open"):
            self._visitor.send(str(WATCHDOG_MS).encode())
        return said.decode()

    def is_quiet(self, for_s: float) -> bool:
        try:
            self.hear(for_s)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        if self._visitor is not None:
            self._visitor.close()
        self._door.close()


@pytest.fixture
def dog(tmp_path: Path) -> Iterator[Dog]:
    made = Dog(tmp_path / "dog")
    yield made
    made.close()


@pytest.fixture
def heard() -> Iterator[Heard]:
    made = Heard()
    yield made
    made.close()


def board_of(folder: Path) -> SharedLeaseBoard:
    (folder / "run").mkdir(exist_ok=True)
    return SharedLeaseBoard(folder / "run" / LEASE_BOARD)


def test_a_grant_that_answers_a_pulse_is_on_the_board(tmp_path: Path, heard: Heard) -> None:
    write(tmp_path, pulse_file(heard))
    board = board_of(tmp_path)
    with pulsing(tmp_path):
        data, sender = heard.socket.recvfrom(2_048)
        pulse = decode(data, read_key(KEY))
        grant = Grant(pulse.names, pulse.sequence, pulse.sent_ns, 4)
        heard.socket.sendto(encode_grant(grant, read_key(KEY)), sender)
        wait(lambda: board.held().granted_epoch == 4)
        assert board.held().until == pulse.sent_ns + LEASE_MS * NS_PER_MS


def test_it_pets_while_it_may_and_then_no_more(tmp_path: Path, heard: Heard, dog: Dog) -> None:
    write(tmp_path, dataclasses.replace(pulse_file(heard), watchdog=str(tmp_path / "dog")))
    board = board_of(tmp_path)
    with pulsing(tmp_path):
        heard.receive()
        assert dog.is_quiet(0.3)  # Nobody asked for it.
        board.arm(Armed(1, True, time.monotonic_ns() + 60_000 * NS_PER_MS))
        assert dog.hear() == f"open {WATCHDOG_MS}"
        assert [dog.hear() for _ in range(3)] == ["pet"] * 3
        wait(lambda: board.held().watchdog_ms == WATCHDOG_MS)
        board.arm(Armed(1, True, 1))  # It is over for long, and nothing was shown to be gone.
        heard.receive()
        drain(dog)
        assert dog.is_quiet(0.5)
        board.say_gone(1)
        assert dog.hear() == "pet"
        board.arm(Armed(2, False, 0))
        while (word := dog.hear()) == "pet":
            pass
        assert word == "close"


def drain(dog: Dog) -> None:
    """What was said before the last pulse: a word that comes later is none of these."""
    until = time.monotonic() + 0.2
    while time.monotonic() < until and not dog.is_quiet(0.03):
        pass


def wait(condition: object) -> None:
    deadline = time.monotonic() + LIMIT_S
    assert callable(condition)
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        os.sched_yield()
