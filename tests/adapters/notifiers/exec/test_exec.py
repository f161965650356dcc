"""The program gets the alarm and nothing more: no shell, no endless wait, no stray children."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from holdfast.adapters.notifiers.exec import Exec
from holdfast.ports.notifier import Notifier, NotifyFailed, NotifyRefused
from tests.adapters.contract_notifier import NotifierContract, notice

PROGRAM = """
import json, os, pathlib, sys
folder = pathlib.Path(sys.argv[1])
how = (folder / "how").read_text()
if how:
    sys.exit({"away": 1, "refuse": 65}[how])
body = json.load(sys.stdin)
with (folder / "told").open("a") as told:
    print(body["sequence"], file=told)
"""


class TestExec(NotifierContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.fail("")

    def make(self) -> Notifier:
        return Exec("mail", [sys.executable, "-S", "-c", PROGRAM, str(self.folder)])

    def told(self) -> list[int]:
        return [int(line) for line in (self.folder / "told").read_text().split()]

    def fail(self, how: str) -> None:
        (self.folder / "how").write_text(how)


def run(program: Exec) -> None:
    asyncio.run(program.notify(notice(1)))


def test_it_gets_the_alarm_as_one_json_document(tmp_path: Path) -> None:
    run(Exec("x", ["/bin/sh", "-c", f"cat >{tmp_path}/got"]))
    body = json.loads((tmp_path / "got").read_text())
    assert body["record"]["alarm"]["condition"] == "vm-gone"


def test_no_shell_reads_the_command(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    run(Exec("x", ["/bin/echo", f"; touch {mark}", "$(id)"]))
    assert not mark.exists()


def test_what_it_complains_of_is_said() -> None:
    with pytest.raises(NotifyFailed, match="ended with code 3: no such mailbox"):
        run(Exec("x", ["/bin/sh", "-c", "echo no such mailbox >&2; exit 3"]))


def test_endless_complaints_block_nothing() -> None:
    with pytest.raises(NotifyFailed, match=r"code 1: .*yyyy"):
        run(Exec("x", ["/bin/sh", "-c", "yes yyyyyyyyyy 2>&1 | head -c 900000 >&2; exit 1"]))


def test_a_program_that_reads_nothing_is_well() -> None:
    run(Exec("x", ["/bin/true"]))


def test_code_65_refuses() -> None:
    with pytest.raises(NotifyRefused):
        run(Exec("x", ["/bin/sh", "-c", "exit 65"]))


def test_a_program_that_is_not_there_is_a_failure() -> None:
    with pytest.raises(NotifyFailed, match="No such file"):
        run(Exec("x", ["/no/such/program"]))


@pytest.mark.slow
def test_one_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 60 & echo $! $$ >{pids}; wait"
    with pytest.raises(NotifyFailed, match="killed"):
        run(Exec("x", ["/bin/sh", "-c", script], timeout_s=1.0))
    for pid in pids.read_text().split():
        assert is_gone(int(pid))


def test_what_it_left_to_finish_later_is_left_alone(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    run(Exec("x", ["/bin/sh", "-c", f"(sleep 0.3; touch {mark}) & exit 0"]))
    for _ in range(100):
        if mark.exists():
            return
        os.sched_yield()
        asyncio.run(asyncio.sleep(0.05))
    pytest.fail("its child was killed although it ended well")


def is_gone(pid: int) -> bool:
    """A zombie that PID 1 has not reaped yet is gone, too."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        asyncio.run(asyncio.sleep(0.02))
    return False
