"""Moves and drains: what is asked, how it goes on, and how the command ends.

covers: H2
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.faces.cli.migrating import done_words, progress_words
from tests.faces.conftest import Run
from tests.faces.programs_that_answer import answering
from tests.faces.test_acting_page import parse

MIB = 1 << 20
PAGE = (Path(__file__).parents[2] / "docs/operate/maintenance.md").read_text()
BEGUN: dict[str, Any] = {
    "vm": "u1",
    "name": "web-1",
    "number": 1,
    "source": "h1",
    "target": "h2",
    "step": "begun",
    "is_over": False,
    "is_cancelled": False,
    "reason": "",
    "percent": 0,
    "left_bytes": 0,
    "total_bytes": 0,
    "pause_ms": None,
    "begun_utc_ms": 1_000,
    "ended_utc_ms": 0,
}
HALF = {**BEGUN, "percent": 55, "left_bytes": 66 * MIB, "total_bytes": 144 * MIB}
DONE = {**BEGUN, "step": "done", "is_over": True, "ended_utc_ms": 6_400, "pause_ms": 132}
UNDONE = {
    **BEGUN,
    "step": "undone",
    "is_over": True,
    "reason": "h1 has it; h2 has nothing of it",
}


def drained(*vms: dict[str, Any], is_drained: bool = True) -> dict[str, Any]:
    return {"host": "1", "host_name": "h1", "is_drained": is_drained, "vms": list(vms)}


def leaving(moves: dict[str, Any] | None = None, stays: str = "") -> dict[str, Any]:
    return {"vm": "u1", "name": "web-1", "stays": stays, "moves": moves}


class InTurn:
    """One answer after the other; the last one stays."""

    def __init__(self, *answers: Any) -> None:
        self._left: Iterator[Any] = iter(answers)
        self._newest: Any = None

    def __call__(self, _asked: Any) -> Any:
        self._newest = next(self._left, self._newest)
        return self._newest


def test_a_move_is_followed_to_its_end(run: Run, run_dir: Path) -> None:
    answers = {"vm-migrate": BEGUN, "migration": InTurn(BEGUN, HALF, DONE)}
    with answering(run_dir, "controller", answers) as fake:
        ran = run("vm", "migrate", "web-1", "--to", "h2", "--timeout", "2m")
    assert fake.asked[0].args == {"vm": "web-1", "to": "h2", "timeout_s": 120}
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "web-1 moves from h1 to h2",
        "web-1: its move begins",
        "web-1: 55 %, 66 MiB left",
        "web-1 runs on h2 after 5.4 s; its guest stood still for 132 ms",
    ]


def test_a_move_that_fails_says_where_it_stays_and_why(run: Run, run_dir: Path) -> None:
    answers = {"vm-migrate": BEGUN, "migration": UNDONE}
    with answering(run_dir, "controller", answers):
        ran = run("vm", "migrate", "web-1")
    assert ran.code == 4
    assert "web-1 stays on h1: h1 has it; h2 has nothing of it" in ran.err


def test_one_that_is_called_off_is_no_failure_of_whoever_does_so(run: Run, run_dir: Path) -> None:
    answers = {"vm-migrate-cancel": BEGUN, "migration": UNDONE}
    with answering(run_dir, "controller", answers) as fake:
        ran = run("vm", "migrate", "web-1", "--cancel")
    assert [one.name for one in fake.asked] == ["vm-migrate-cancel", "migration"]
    assert ran.code == 0
    assert "web-1 stays on h1" in ran.out


def test_one_that_had_moved_before_it_was_called_off_is_said_to_have(
    run: Run, run_dir: Path
) -> None:
    begun, done = {**BEGUN, "is_cancelled": True}, {**DONE, "is_cancelled": True}
    answers = {"vm-migrate-cancel": begun, "vm-migrate": BEGUN, "migration": InTurn(begun, done)}
    with answering(run_dir, "controller", answers):
        ran = run("vm", "migrate", "web-1", "--cancel")
        other = run("vm", "migrate", "web-1")
    assert ran.out == "web-1: its move is called off\n"
    assert "it was called off too late: web-1 runs on h2 after 5.4 s" in ran.err
    assert "holdfast vm migrate web-1 --to h1" in ran.err
    assert ran.code == 4
    assert (other.code, "; it was called off too late" in other.out) == (0, True)


def test_one_that_runs_twice_says_what_to_do(run: Run, run_dir: Path) -> None:
    doubt = {**BEGUN, "step": "in doubt", "reason": "h1 has it; h2 has it"}
    with answering(run_dir, "controller", {"vm-migrate": BEGUN, "migration": doubt}):
        ran = run("vm", "migrate", "web-1")
    assert ran.code == 4
    assert "web-1 runs on both hosts" in ran.err
    assert "virsh destroy" in ran.err


def test_with_json_a_move_is_only_begun(run: Run, run_dir: Path) -> None:
    with answering(run_dir, "controller", {"vm-migrate": BEGUN}) as fake:
        ran = run("vm", "migrate", "web-1", "--json")
    assert [one.name for one in fake.asked] == ["vm-migrate"]
    assert '"step": "begun"' in ran.out


def test_a_time_that_is_none_is_refused_before_anything_is_asked(run: Run, run_dir: Path) -> None:
    with answering(run_dir, "controller", {}) as fake:
        ran = run("vm", "migrate", "web-1", "--timeout", "soon")
    assert ran.code == 2
    assert fake.asked == []


def test_a_drain_is_followed_until_nothing_is_left(run: Run, run_dir: Path) -> None:
    answers = {
        "host-drain": drained(),
        "drain": InTurn(drained(leaving(moves=HALF)), drained()),
        "migration": DONE,
    }
    with answering(run_dir, "controller", answers) as fake:
        ran = run("host", "drain", "h1")
    assert fake.asked[0].args == {"host": "h1", "timeout_s": 300}
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "h1 is drained: nothing is placed there until it is undrained",
        "0 of 1 moved; web-1: 55 %, 66 MiB left",
        "web-1 runs on h2 after 5.4 s; its guest stood still for 132 ms",
        "no VM runs on h1 any more",
    ]


def test_a_drain_says_of_each_vm_that_stays_why(run: Run, run_dir: Path) -> None:
    stays = drained(leaving(stays="its disk /srv/web.img is on this host alone"))
    with answering(run_dir, "controller", {"host-drain": stays, "drain": stays}):
        ran = run("host", "drain", "h1")
    assert ran.code == 4
    assert "web-1 stays: its disk /srv/web.img is on this host alone" in ran.out
    assert "1 of 1 VMs stay on h1, which stays drained" in ran.err
    assert "holdfast host undrain h1" in ran.err


@pytest.mark.parametrize("was", [True, False])
def test_undrain_says_whether_there_was_anything_to_end(
    run: Run, run_dir: Path, *, was: bool
) -> None:
    answer = {**drained(is_drained=False), "was_drained": was}
    with answering(run_dir, "controller", {"host-undrain": answer}):
        ran = run("host", "undrain", "h1")
    assert ("it was not drained" in ran.out) is not was


def test_words_of_what_is_not_known_yet() -> None:
    assert progress_words(BEGUN) == "web-1: its move begins"
    assert progress_words({**HALF, "is_cancelled": True}).endswith("is called off")
    assert done_words({**DONE, "pause_ms": None}) == "web-1 runs on h2 after 5.4 s"


@pytest.mark.parametrize("line", re.findall(r"^    (holdfast .+)$", PAGE, re.MULTILINE))
def test_each_command_of_the_page_can_be_typed(line: str) -> None:
    parse(line)


def predicted(*vms: dict[str, Any], is_predicted: bool = True, kept: str = "") -> dict[str, Any]:
    return {
        "host": "1",
        "host_name": "h1",
        "is_predicted": is_predicted,
        "reason": "its memory fails" if is_predicted else "",
        "by": "ann" if is_predicted else "",
        "kept": kept,
        "vms": list(vms),
    }


def test_a_host_that_is_expected_to_fail_is_said_to_be(run: Run, run_dir: Path) -> None:
    told = predicted(leaving(), {**leaving(stays="its disk is local"), "name": "db"})
    with answering(run_dir, "controller", {"host-predict": told}) as fake:
        ran = run("host", "predicted", "h1", "--reason", "its memory fails")
    assert fake.asked[0].args == {"host": "h1", "reason": "its memory fails"}
    assert ran.out.splitlines() == [
        "h1 is expected to fail: its memory fails (said by ann)",
        "nothing is placed there",
        "its VMs move away; still there: 1",
        "db stays: its disk is local",
    ]


def test_what_holds_its_vms_there_is_said_with_what_helps(run: Run, run_dir: Path) -> None:
    told = predicted(leaving(), kept="h1 is in report mode")
    with answering(run_dir, "controller", {"prediction": told}):
        ran = run("host", "predicted", "h1")
    assert ran.out.splitlines()[2:] == [
        "its VMs stay there: h1 is in report mode",
        "  what moves them away: holdfast host drain h1",
    ]


def test_a_prediction_is_taken_back(run: Run, run_dir: Path) -> None:
    told = {**predicted(is_predicted=False), "was_predicted": True}
    with answering(run_dir, "controller", {"host-unpredict": told, "prediction": told}) as fake:
        assert run("host", "predicted", "h1", "--clear").out == "h1 is not expected to fail\n"
        assert run("host", "predicted", "h1").out == "h1 is not expected to fail\n"
    assert [one.name for one in fake.asked] == ["host-unpredict", "prediction"]
    both = run("host", "predicted", "h1", "--clear", "--reason", "x")
    assert "exclude each other" in both.err
