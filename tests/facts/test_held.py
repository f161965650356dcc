"""A fault that flaps is said once, and its end only when it has been well for a while."""

from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.ports.held import Held


def at(ms: int) -> Instant:
    return Instant(ms * NS_PER_MS)


def told(held: Held, ms: int) -> list[tuple[str, bool, int]]:
    return [(one.key, one.is_bad, one.since // NS_PER_MS) for one in held.take(at(ms))]


def test_a_fault_is_said_after_its_hold_and_cleared_after_a_longer_one() -> None:
    held = Held(clear_ms=1_000)
    held.bad("a", at(0), 100)
    assert told(held, 99) == []
    assert "a" not in held
    assert told(held, 100) == [("a", True, 0)]
    assert "a" in held
    held.good("a", at(200))
    held.bad("a", at(900), 100)  # It flaps.
    held.good("a", at(1_000))
    assert told(held, 1_999) == []
    assert told(held, 2_000) == [("a", False, 0)]
    assert held.first() is None


def test_a_fault_that_ends_within_its_hold_is_never_said() -> None:
    held = Held(clear_ms=1_000)
    held.good("a", at(0))
    assert told(held, 0) == [("a", False, 0)], "a fault of before may still stand"
    held.bad("a", at(10), 100)
    held.good("a", at(50))
    assert held.first() is None
    held.bad("a", at(500), 100)
    assert told(held, 600) == [("a", True, 500)], "it began anew"


def test_what_is_no_more_is_not_said() -> None:
    held = Held(clear_ms=1_000)
    held.bad("a", at(0), 100)
    assert not held.forget("a")
    assert told(held, 200) == []
    held.bad("b", at(0))
    assert told(held, 0) == [("b", True, 0)]
    assert held.forget("b")
    assert not held.forget("b")
