"""The pulse: a small process that says twenty times a second, on every plane, that its host lives.

Run with `python -m holdfast.agent.pulse STATE_DIR RUN_DIR`. It asks nobody and waits for nothing:
no event loop, no log, no disk after its start, and what is away is tried again with each pulse.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from holdfast.adapters.drivers.only_one import NotTheOnlyOne, only_one
from holdfast.adapters.drivers.plane_sockets import open_plane_socket
from holdfast.adapters.drivers.real_time import PULSE_PRIORITY, keep_time
from holdfast.agent.board import Board
from holdfast.agent.boot_word import read_boot
from holdfast.agent.host_watchdog import HostWatchdog
from holdfast.agent.lease_board import LEASE_BOARD, SharedLeaseBoard
from holdfast.agent.petting import Petting
from holdfast.agent.pulse_file import NAME, PulseFile, PulseFileWrong, read_pulse_file
from holdfast.facts.instants import NS_PER_MS, NS_PER_S, Instant
from holdfast.facts.layers import Plan
from holdfast.facts.lease_words import LeaseBoard
from holdfast.facts.pulse import (
    Kind,
    Names,
    Pulse,
    PulseRefused,
    decode_probe,
    encode,
    encode_each,
    read_key,
)
from holdfast.ports.watchdog import Watchdog

WAIT_FOR_FILE_S = 1.0
REPEATS_OF_PLAN = 3
BETWEEN_REPEATS_S = 0.005
ANSWERS_AT_ONCE = 16
STOPS_LOOK_EVERY = 4  # Pulses; it is a look into a directory in memory.
LONGEST_PROBE_BYTES = 512


class Pulser:
    """One reading of pulse.json, with the sockets that it asks for."""

    def __init__(
        self, file: PulseFile, boot: str, run_dir: Path, board: Board, lease: "Lease"
    ) -> None:
        self._file, self._boot, self._board = file, boot, board
        self._key = read_key(file.key)
        self._petting = lease.petting(file, boot, self._key)
        self._stops = run_dir / "host-stops"
        self._plan, self._limit_ms = Plan.NONE, 0
        # Higher than any of this boot before it, since a pulse takes longer than a millisecond.
        self._sequence = time.monotonic_ns() // NS_PER_MS
        self._senders: dict[tuple[str, str], socket.socket] = {}
        self._answering: dict[int, tuple[str, socket.socket]] = {}
        self._granting: dict[int, socket.socket] = {}  # The leader answers where a pulse came from.
        self._poll = select.epoll()
        self._open()

    def beat(self, at: Instant) -> None:
        """One pulse on every plane to every controller. What cannot be sent is lost, never late."""
        self._petting.look(at)
        self._sequence += 1
        if self._sequence % STOPS_LOOK_EVERY == 0:
            self._look_for_stop()
        words = self._board.read_all(at)
        pulse = Pulse(
            names=Names(self._file.host, "", self._boot),
            sequence=self._sequence,
            sent_ns=at,
            plan=self._plan,
            plan_limit_ms=self._limit_ms,
            layers=words,
        )
        by_plane = encode_each(pulse, {plane for plane, *_ in self._file.targets}, self._key)
        for plane, own, address, port in self._file.targets:
            sender = self._senders.get((plane, own))
            if sender is not None:
                with contextlib.suppress(OSError):  # Its plane is away; the others are not.
                    sender.sendto(by_plane[plane], (address, port))

    def answer_until(self, at: Instant) -> None:
        """Answer who asks, until the next pulse is due."""
        while True:
            wait_s = (at - time.monotonic_ns()) / NS_PER_S
            if wait_s <= 0:
                return
            for fd, _ in self._poll.poll(wait_s):
                if fd in self._answering:
                    self._answer_all(*self._answering[fd])
                else:
                    self._hear_grants(self._granting[fd])

    def say_farewell(self) -> None:
        """A planned end says so, more than once, because datagrams are lost."""
        self._look_for_stop()
        if self._plan is Plan.NONE:
            self._plan, self._limit_ms = Plan.PULSE_RESTARTS, self._file.restart_limit_ms
        for _ in range(REPEATS_OF_PLAN):
            self.beat(Instant(time.monotonic_ns()))
            time.sleep(BETWEEN_REPEATS_S)

    def close(self) -> None:
        for opened in [*self._senders.values(), *(one for _, one in self._answering.values())]:
            opened.close()
        self._poll.close()

    def _open(self) -> None:
        for plane, own, _, _ in self._file.targets:
            if (plane, own) not in self._senders:
                with _saying(f"{own} on plane {plane} cannot be used"):
                    sender = self._senders[plane, own] = open_plane_socket(own, 0)
                    self._granting[sender.fileno()] = sender
                    self._poll.register(sender, select.EPOLLIN)
        for plane, own in self._file.answers:
            with _saying(f"nobody who doubts is answered on {own}"):
                opened = open_plane_socket(own, self._file.answer_port)
                self._answering[opened.fileno()] = plane, opened
                self._poll.register(opened, select.EPOLLIN)

    def _look_for_stop(self) -> None:
        """The file may come, and go again when a shutdown was called off."""
        if self._stops.exists():
            self._plan, self._limit_ms = Plan.HOST_STOPS, self._file.stop_limit_ms
        elif self._plan is Plan.HOST_STOPS:
            self._plan, self._limit_ms = Plan.NONE, 0

    def _answer_all(self, plane: str, opened: socket.socket) -> None:
        for _ in range(ANSWERS_AT_ONCE):  # A flood of questions must not delay the next pulse.
            try:
                data, asker = opened.recvfrom(LONGEST_PROBE_BYTES)
            except OSError:
                return
            with contextlib.suppress(PulseRefused, OSError):
                opened.sendto(self._answer(plane, data), asker)

    def _hear_grants(self, opened: socket.socket) -> None:
        for _ in range(ANSWERS_AT_ONCE):
            try:
                data = opened.recv(LONGEST_PROBE_BYTES)
            except OSError:
                return
            self._petting.granted(data, time.monotonic_ns())

    def _answer(self, plane: str, probe: bytes) -> bytes:
        """Raises PulseRefused: who does not hold the key, or means somebody else, hears nothing."""
        asked = decode_probe(probe, self._key)
        if (asked.host, asked.plane) != (self._file.host, plane):
            raise PulseRefused("other host", f"it asks for {asked.host} on plane {asked.plane}")
        at = Instant(time.monotonic_ns())
        pulse = Pulse(
            names=Names(self._file.host, plane, self._boot, asked.nonce),
            sequence=self._sequence,
            sent_ns=at,
            plan=self._plan,
            plan_limit_ms=self._limit_ms,
            layers=self._board.read_all(at),
        )
        return encode(pulse, self._key, Kind.ANSWER)


class Lease:
    """What a pulse keeps of the lease and its watchdog, however often its file is read anew."""

    def __init__(self, board: LeaseBoard) -> None:
        self._board = board
        self._watchdogs: dict[str, Watchdog] = {}

    def petting(self, file: PulseFile, boot: str, key: bytes) -> Petting:
        watchdog = self._watchdogs.get(file.watchdog)
        if watchdog is None:
            watchdog = self._watchdogs[file.watchdog] = HostWatchdog(file.watchdog)
        return Petting(self._board, watchdog, host=file.host, boot=boot, key=key, say=say)


@contextlib.contextmanager
def _saying(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        say(f"{what}: {error.strerror}")


class _Signals:
    """SIGTERM ends in order; SIGHUP has the file read anew."""

    def __init__(self) -> None:
        self.is_ended = self.is_called = False
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        signal.signal(signal.SIGHUP, self._call)

    def _end(self, _number: int, _frame: object) -> None:
        self.is_ended = True

    def _call(self, _number: int, _frame: object) -> None:
        self.is_called = True


def say(text: str) -> None:
    """One line for whoever started us; a reader that hangs must not stop the pulse."""
    with contextlib.suppress(OSError):
        os.write(2, f"pulse: {text}\n".encode())


def run(state_dir: Path, run_dir: Path) -> None:
    """Until SIGTERM. Raises OSError, NotTheOnlyOne."""
    signals = _Signals()
    for folder in (state_dir, run_dir):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with only_one("pulse", state_dir, run_dir):
        boot, board = read_boot(run_dir), Board(run_dir / "health-board")
        lease = Lease(SharedLeaseBoard(run_dir / LEASE_BOARD))
        for lack in keep_time(PULSE_PRIORITY):
            say(f"does without {lack}")
        while not signals.is_ended:
            # Before the file is read: what is written meanwhile is read at the next turn.
            generation, signals.is_called = board.generation, False
            file = _await_file(state_dir / NAME, signals)
            if file is None:
                return
            say(f"host {file.host_name} ({file.host}), boot {boot}: {_where(file)}")
            pulser = Pulser(file, boot, run_dir, board, lease)
            try:
                _pulse(pulser, file.period_ms * NS_PER_MS, board, signals, generation)
            finally:
                pulser.close()


def _pulse(
    pulser: Pulser, period_ns: int, board: Board, signals: _Signals, generation: int
) -> None:
    """Until the end, or until the file is to be read anew."""
    due = time.monotonic_ns()
    while not signals.is_ended:
        pulser.beat(Instant(time.monotonic_ns()))
        due = max(due + period_ns, time.monotonic_ns())  # What was missed is not caught up.
        pulser.answer_until(Instant(due))
        if signals.is_called or board.generation != generation:
            return
    pulser.say_farewell()


def _await_file(path: Path, signals: _Signals) -> PulseFile | None:
    """Until the agent has written it; None when asked to end."""
    problem = ""
    while not signals.is_ended:
        try:
            return read_pulse_file(path)
        except FileNotFoundError:
            said = f"{path} is awaited: the agent writes it at its first start"
        except (OSError, PulseFileWrong) as error:
            said = str(error)
        if said != problem:
            problem = said
            say(problem)
        time.sleep(WAIT_FOR_FILE_S)
    return None


def _where(file: PulseFile) -> str:
    ways = ", ".join(f"{t.plane} {t.own} to {t.address}:{t.port}" for t in file.targets)
    return f"each {file.period_ms} ms on plane {ways}" if ways else "there is nobody to pulse to"


def main() -> None:
    os.set_blocking(2, False)
    try:
        run(Path(sys.argv[1]), Path(sys.argv[2]))
    except OSError as error:
        sys.exit(f"pulse: {error.filename or 'the host'} cannot be used: {error.strerror}")
    except NotTheOnlyOne as error:
        sys.exit(f"pulse: {error}")


if __name__ == "__main__":
    main()
