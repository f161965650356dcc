"""A daemon that is stopped is frozen at once, one that idles soon, one that works late."""

import pytest

from holdfast.adapters.drivers.one_process import Doing
from holdfast.adapters.drivers.patience import BUSY_S, IDLE_S, STOPPED, STOPPED_S, Patience

A_MS = 1_000_000
IDLE = Doing("S", 5 * A_MS, is_runnable=False)


def judge(patience: Patience, *looks: tuple[float, Doing | None]) -> list[str | None]:
    return [patience.judge(at_s, doing) for at_s, doing in looks]


def test_a_stopped_daemon_is_frozen_soonest() -> None:
    stopped = Doing("T", 0, is_runnable=False)
    early, late = STOPPED_S - 0.01, STOPPED_S + 0.01
    assert judge(Patience(0), (early, stopped), (late, stopped)) == [None, STOPPED]


def test_an_idle_daemon_that_leaves_a_question_open_is_hung() -> None:
    said = judge(Patience(0), (0.41, IDLE), (IDLE_S + 0.01, IDLE))
    assert said == [None, "its process idles"]


def test_a_daemon_that_works_or_waits_for_a_cpu_gets_more_time() -> None:
    patience = Patience(0)
    busy = Doing("S", 105 * A_MS, is_runnable=False)
    assert judge(patience, (0.41, IDLE), (0.7, busy), (2.9, busy)) == [
        None,
        None,
        "its process idles",
    ]
    busy_at_last = Doing("S", 900 * A_MS, is_runnable=False)
    said = judge(Patience(0), (0.41, IDLE), (2.9, busy_at_last), (BUSY_S + 0.01, busy_at_last))
    assert said == [None, None, "its process is busy"]
    waiting = Doing("R", 5 * A_MS, is_runnable=True)  # The kernel adds its wait up only later.
    assert judge(Patience(0), (0.41, waiting), (0.7, waiting)) == [None, None]


def test_what_we_were_late_by_does_not_count() -> None:
    patience = Patience(0)
    assert patience.judge(5.0, None, late_s=4.6) is None
    assert patience.judge(5.3, None) == ""


@pytest.mark.parametrize("late_s", [0.00001, 0.001, 0.015, 0.03, 0.3])
@pytest.mark.parametrize("asked_s", [78_252.943, 1_234.567, 9_876_543.21])
def test_who_wakes_late_each_time_comes_to_a_judgement_all_the_same(
    asked_s: float, late_s: float
) -> None:
    """By a clock as it is: what is left of a wait may be less than it can show."""
    patience, stopped = Patience(asked_s), Doing("T", 0, is_runnable=False)
    now_s, due_s, wakes = asked_s + 0.15, asked_s + 0.15, 0
    while patience.judge(now_s, stopped, now_s - due_s) is None:
        due_s = now_s + patience.next_look_s(now_s)
        now_s = due_s + late_s
        wakes += 1
        assert wakes < 10


def test_where_the_process_cannot_be_seen_only_the_clock_counts() -> None:
    assert judge(Patience(0), (0.6, None), (0.7, None)) == [None, ""]


def test_it_sleeps_exactly_until_the_next_limit() -> None:
    patience = Patience(10.0)
    assert round(patience.next_look_s(10.1), 3) == round(STOPPED_S - 0.1, 3)
    assert round(patience.next_look_s(10.45), 3) == round(IDLE_S - 0.45, 3)
    assert patience.next_look_s(10.7) < 0.5
