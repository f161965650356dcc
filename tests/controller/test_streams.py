"""What was done of a stream is known, in whatever order it came, and nothing else is."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.controller.streams import RANGES_KEPT, Stream


@given(st.lists(st.integers(1, 60)))
def test_done_is_what_was_done_also_after_a_restart(numbers: list[int]) -> None:
    stream = Stream()
    for number in numbers:
        stream.begin(number)
        stream.end(number)
    again = Stream(stream.kept())
    for number in range(1, 62):
        assert stream.is_done(number) == again.is_done(number) == (number in numbers)
    assert not stream.open


def test_what_was_left_to_another_is_new_when_it_comes_again() -> None:
    stream = Stream()
    stream.begin(1)
    stream.leave(1)
    assert not stream.is_done(1)
    assert not stream.open


def test_numbers_that_did_not_come_here_are_counted_and_still_taken() -> None:
    stream = Stream()
    assert stream.begin(5) == 0, "a stream may begin anywhere"
    assert stream.begin(8) == 2
    assert stream.begin(6) == 0
    stream.end(8)
    assert not stream.is_done(6)


def test_the_count_that_an_earlier_version_kept_is_understood() -> None:
    stream = Stream(b"7")
    assert stream.is_done(7)
    assert not stream.is_done(8)
    with pytest.raises(msgspec.MsgspecError):
        Stream(b'"x"')


def test_it_stays_small_and_forgets_only_the_oldest() -> None:
    stream = Stream()
    for number in range(1, 4 * RANGES_KEPT, 2):
        stream.begin(number)
        stream.end(number)
    assert not stream.is_done(1)
    assert stream.is_done(4 * RANGES_KEPT - 1)
    assert len(msgspec.json.decode(stream.kept())) == RANGES_KEPT
