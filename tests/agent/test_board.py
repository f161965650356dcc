"""A word on the health board is good for as long as its watcher said, and whole or not there."""

import multiprocessing
from pathlib import Path

import pytest

from holdfast.agent.board import Board
from holdfast.facts.instants import Instant, after
from holdfast.facts.layers import Layer, LayerState
from holdfast.facts.pulse import Word

AT = Instant(5_000_000_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "health-board"


def test_a_word_is_read_by_another_process_that_maps_it(path: Path) -> None:
    writer, reader = Board(path), Board(path)
    assert reader.read_all(AT) == {}
    writer.write(Layer.AGENT, LayerState.WELL, 500, AT)
    writer.write(Layer.STORAGE, LayerState.ILL, 500, AT)
    assert reader.read_all(after(AT, 20)) == {
        Layer.AGENT: Word(LayerState.WELL, 20),
        Layer.STORAGE: Word(LayerState.ILL, 20),
    }


@pytest.mark.parametrize(
    ("state", "after_ms", "read"),
    [
        (LayerState.WELL, 500, LayerState.WELL),
        (LayerState.WELL, 501, LayerState.STALE),
        (LayerState.ILL, 501, LayerState.STALE),
        (LayerState.RESTARTING, 499, LayerState.RESTARTING),
        (LayerState.RESTARTING, 501, LayerState.STALE),
        (LayerState.STOPPED, 9_999, LayerState.STOPPED),
        (LayerState.UNKNOWN, 9_999, LayerState.UNKNOWN),
    ],
)
def test_a_word_that_is_too_old_is_stale(
    path: Path, state: LayerState, after_ms: int, read: LayerState
) -> None:
    board = Board(path)
    board.write(Layer.AGENT, state, 500, AT)
    assert board.read(Layer.AGENT, after(AT, after_ms)) == Word(read, after_ms)


def test_a_word_that_is_half_written_is_the_one_before(path: Path) -> None:
    board = Board(path)
    board.write(Layer.AGENT, LayerState.WELL, 500, AT)
    assert board.read(Layer.AGENT, AT).state is LayerState.WELL
    raw = bytearray(path.read_bytes())
    raw[64] = 2
    with path.open("r+b") as file:
        file.write(raw)
    assert board.read(Layer.AGENT, AT).state is LayerState.WELL
    assert Board(path).read_all(AT) == {}


def test_rubbish_in_the_file_is_no_word(path: Path) -> None:
    path.write_bytes(b"\xff" * 4_096)
    board = Board(path)
    assert board.read_all(AT) == {}
    assert board.generation == 0


def test_a_call_to_read_is_seen(path: Path) -> None:
    writer, reader = Board(path), Board(path)
    before = reader.generation
    writer.call_to_read()
    writer.call_to_read()
    assert reader.generation == before + 2


def _write_much(path: Path) -> None:
    board = Board(path)
    for number in range(20_000):
        state = LayerState.WELL if number % 2 else LayerState.ILL
        board.write(Layer.AGENT, state, number, Instant(number))


def test_a_reader_never_sees_two_words_mixed(path: Path) -> None:
    """Odd numbers are well and even ones ill, while another process writes as fast as it can."""
    board = Board(path)
    writer = multiprocessing.get_context("spawn").Process(target=_write_much, args=(path,))
    writer.start()
    seen = set()
    while writer.is_alive():
        word = board.read(Layer.AGENT, Instant(0))
        if Layer.AGENT in board._newest:
            state, written, limit = board._newest[Layer.AGENT]
            assert written == limit
            assert state is (LayerState.WELL if written % 2 else LayerState.ILL), word
            seen.add(written)
    writer.join()
    assert seen
