"""A daemon that is stopped is frozen at once, one that idles soon, one that works late."""

from holdfast.adapters.drivers.libvirt_daemon import Doing
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


def test_where_the_process_cannot_be_seen_only_the_clock_counts() -> None:
    assert judge(Patience(0), (0.6, None), (0.7, None)) == [None, ""]


def test_it_sleeps_exactly_until_the_next_limit() -> None:
    patience = Patience(10.0)
    assert round(patience.next_look_s(10.1), 3) == round(STOPPED_S - 0.1, 3)
    assert round(patience.next_look_s(10.45), 3) == round(IDLE_S - 0.45, 3)
    assert patience.next_look_s(10.7) < 0.5
