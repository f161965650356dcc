"""The pulse takes grants that are its host's, and pets the watchdog as long as it may.

covers: H9
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.adapters.simulated.clock import Clock
from holdfast.adapters.simulated.watchdog import LeaseBoardInMemory, SimulatedWatchdog
from holdfast.agent.lease_board import SharedLeaseBoard
from holdfast.agent.petting import Petting
from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.lease_times import END_MS, LEASE_MS, WATCHDOG_MS
from holdfast.facts.lease_words import Armed, Held, LeaseBoard
from holdfast.facts.pulse import Grant, Names, encode_grant

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
HOST, BOOT = "h1", "boot-1"
PERIOD_MS = 50


class Scene:
    """A host with one pulse that looks each 50 ms; `bitten` is when its watchdog bit, in ms."""

    def __init__(self, board: LeaseBoard | None = None) -> None:
        self.clock = Clock()
        self.bitten: list[float] = []
        self.watchdog = SimulatedWatchdog(self.clock, lambda: self.bitten.append(self.now_ms))
        self.board = board or LeaseBoardInMemory()
        self.said: list[str] = []
        self.restart()

    @property
    def now_ms(self) -> float:
        return self.clock.now / NS_PER_MS

    def restart(self) -> None:
        """The process of the pulse ended, and another one began."""
        self.petting = Petting(
            self.board, self.watchdog, host=HOST, boot=BOOT, key=KEY, say=self.said.append
        )

    def arm(self, epoch: int = 1, until_ms: float = LEASE_MS) -> None:
        self.board.arm(Armed(epoch, True, int(until_ms * NS_PER_MS)))

    def grant(self, sent_ms: float, *, epoch: int = 1, boot: str = BOOT, key: bytes = KEY) -> None:
        names = Names(HOST, "a", boot)
        data = encode_grant(Grant(names, 7, int(sent_ms * NS_PER_MS), epoch), key)
        self.petting.granted(data, self.clock.now)

    def run(self, ms: float, each: Callable[[], None] = lambda: None) -> None:
        until = self.clock.now + int(ms * NS_PER_MS)
        while self.clock.now < until:
            each()
            self.petting.look(self.clock.now)
            self.clock.run_until(self.clock.now + PERIOD_MS * NS_PER_MS)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_nobody_asked_and_the_watchdog_stays_closed(scene: Scene) -> None:
    scene.grant(0)
    scene.run(60_000)
    assert not scene.watchdog.is_open
    assert scene.bitten == []


def test_it_is_open_once_armed_and_that_is_on_the_board(scene: Scene) -> None:
    scene.run(1_000)
    scene.arm(epoch=3)
    scene.run(100)
    assert scene.watchdog.is_open
    held = scene.board.held()
    assert (held.seen_epoch, held.watchdog_ms) == (3, WATCHDOG_MS)


def test_a_lease_runs_from_when_the_pulse_was_sent(scene: Scene) -> None:
    scene.arm()
    scene.run(10_000)
    scene.grant(sent_ms=2_000)
    assert scene.board.held().until == (2_000 + LEASE_MS) * NS_PER_MS
    scene.grant(sent_ms=1_000)  # Late: it makes nothing shorter.
    assert scene.board.held().until == (2_000 + LEASE_MS) * NS_PER_MS


@pytest.mark.parametrize("wrong", [{"boot": "boot-2"}, {"key": OTHER_KEY}, {"sent_ms": 50_000.0}])
def test_a_grant_that_is_not_this_boots_is_none(scene: Scene, wrong: dict[str, object]) -> None:
    scene.run(10_000)
    scene.grant(**{"sent_ms": 5_000.0, **wrong})  # type: ignore[arg-type]
    assert scene.board.held() == Held()


def test_without_grants_it_bites_a_bounded_time_after_the_lease(scene: Scene) -> None:
    scene.arm()
    scene.run(60_000)
    bites_by = LEASE_MS + END_MS + WATCHDOG_MS
    assert bites_by - 2 * PERIOD_MS <= scene.bitten[0] <= bites_by


def test_with_grants_it_never_bites(scene: Scene) -> None:
    scene.arm()
    scene.run(120_000, each=lambda: scene.grant(scene.now_ms))
    assert scene.bitten == []


def test_once_all_is_gone_it_pets_on(scene: Scene) -> None:
    scene.arm()
    scene.run(LEASE_MS + 1_000)
    scene.board.say_gone(LEASE_MS * NS_PER_MS)
    scene.run(120_000)
    assert scene.bitten == []


def test_what_was_gone_of_an_earlier_lease_says_nothing_of_this_one(scene: Scene) -> None:
    scene.arm()
    scene.run(LEASE_MS + 1_000)
    scene.board.say_gone(LEASE_MS * NS_PER_MS)
    scene.grant(scene.now_ms)
    scene.run(120_000)
    assert len(scene.bitten) == 1


def test_a_pulse_that_was_begun_anew_pets_on_and_does_not_revive_what_is_over(
    scene: Scene,
) -> None:
    scene.arm()
    scene.run(5_000)
    scene.restart()
    scene.run(LEASE_MS + END_MS - 5_000 - PERIOD_MS)
    assert scene.bitten == []
    scene.run(2_000)
    scene.restart()  # It must not open it, and so pet it, now.
    scene.run(60_000)
    assert scene.bitten[0] <= LEASE_MS + END_MS + WATCHDOG_MS


def test_disarmed_it_is_closed(scene: Scene) -> None:
    scene.arm()
    scene.run(5_000)
    scene.board.arm(Armed(2, False, 0))
    scene.run(120_000)
    assert not scene.watchdog.is_open
    assert scene.bitten == []
    assert scene.board.held().seen_epoch == 2


def test_a_host_without_a_watchdog_says_so_once(scene: Scene) -> None:
    scene.watchdog.is_missing = True
    scene.arm()
    scene.run(5_000)
    assert scene.said == ["no VM can rely on a lease here: this host has no watchdog"]
    assert scene.board.held().watchdog_ms == 0


def test_the_shared_board_keeps_words_for_whoever_comes_next(tmp_path: Path) -> None:
    board, other = (SharedLeaseBoard(tmp_path / "board") for _ in range(2))
    assert (other.armed(), other.held(), other.gone_for()) == (Armed(), Held(), 0)
    armed, held = Armed(5, True, 17), Held(23, 4, 5, WATCHDOG_MS)
    board.arm(armed)
    board.hold(held)
    board.say_gone(29)
    again = SharedLeaseBoard(tmp_path / "board")
    assert (again.armed(), again.held(), again.gone_for()) == (armed, held, 29)


def test_a_damaged_board_arms_nothing_and_is_said(tmp_path: Path) -> None:
    scene = Scene(SharedLeaseBoard(tmp_path / "board"))
    with (tmp_path / "board").open("r+b") as file:
        file.write(b"\x07")
    scene.run(100)
    assert not scene.watchdog.is_open
    assert scene.said == ["no VM can rely on a lease here: the board of the lease is damaged"]


def test_one_that_a_pulse_before_left_open_is_closed_where_nobody_relies_any_more(
    scene: Scene,
) -> None:
    """The device runs on when its program ends: nobody petted it, and it reset a healthy host."""
    scene.arm()
    scene.run(1_000)
    assert scene.watchdog.is_open
    scene.board.arm(Armed(2, False, 0))
    scene.restart()
    scene.run(60_000)
    assert (scene.bitten, scene.watchdog.is_open) == ([], False)
    assert scene.board.held().watchdog_ms == 0
