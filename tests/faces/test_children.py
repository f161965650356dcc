"""The programs of `up` are started again when they die, and none is ever left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.faces.cli.children import Child, Children, how_ended
from holdfast.faces.cli.host_libvirt import started_keeper, stop_started
from holdfast.ports.priority import AHEAD

LIMIT_S = 20.0
SLEEPER = "import sys, time; open(sys.argv[1], 'a').write('x'); time.sleep(60)"


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline, "not so in time"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(") ")[2][0] != "Z"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def children(said: list[str]) -> Iterator[Children]:
    made = Children(said.append, program=(sys.executable, "-c", SLEEPER))
    try:
        yield made
    finally:
        made.stop()


def pid_of(children: Children) -> int:
    process = children.children[0].process
    return process.pid if process else 0


def test_a_program_that_dies_is_started_again_and_that_is_said(
    children: Children, said: list[str], tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    children.start("agent", str(starts))
    wait_until(lambda: starts.exists() and starts.read_text() == "x")  # It is there before that.
    os.kill(pid_of(children), signal.SIGKILL)

    def is_back() -> bool:
        children.look()
        return starts.read_text() == "xx"

    wait_until(is_back)
    assert said == ["the agent ended (killed by SIGKILL); starting it again"]


def test_one_that_keeps_dying_is_waited_for_longer_each_time(said: list[str]) -> None:
    children = Children(said.append, program=(sys.executable, "-c", "raise SystemExit(3)"))
    children.start("controller")
    waits = [children.children[0].wait_s]  # It may have died before the first look.

    def has_died_thrice() -> bool:
        children.look()
        waits.append(children.children[0].wait_s)
        return children.that_died(3) == ["controller"]

    wait_until(has_died_thrice)
    children.stop()
    assert sorted(set(waits)) == [0.2, 0.4, 0.8, 1.6]
    assert said[0] == "the controller ended (exit code 3); starting it again"


def test_stop_leaves_none_not_even_one_that_will_not_end(said: list[str], tmp_path: Path) -> None:
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"
    children = Children(said.append, program=(sys.executable, "-c", deaf), end_limit_s=0.3)
    children.start("agent", str(tmp_path / "started"))
    wait_until((tmp_path / "started").exists)
    pid = pid_of(children)
    children.stop()
    assert not is_alive(pid)


def test_killing_the_parent_ends_the_programs(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from holdfast.faces.cli.children import Children\n"
        f"c = Children(print, program=(sys.executable, '-c', {SLEEPER!r}))\n"
        "c.start('agent', sys.argv[1])\n"
        "print(c.children[0].process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "started")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    wait_until((tmp_path / "started").exists)
    parent.kill()
    parent.wait(LIMIT_S)
    parent.stdout.close()
    wait_until(lambda: not is_alive(child))


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "exit code 0"), (-9, "killed by SIGKILL"), (-250, "killed by signal 250")],
)
def test_an_end_is_told_in_words(code: int, words: str) -> None:
    assert how_ended(code) == words


def test_a_keeper_reaps_what_its_daemons_leave_and_ends_them_when_told(tmp_path: Path) -> None:
    """The daemon here starts an orphan that ends at once, as libvirt does when it tries a QEMU."""
    orphan = tmp_path / "orphan"
    daemon = tmp_path / "daemon"
    daemon.write_text(f"#!/bin/sh\nsh -c 'sh -c \"echo \\$\\$ > {orphan}\" & '\nexec sleep 60\n")
    daemon.chmod(0o755)
    keeper = subprocess.Popen(
        [sys.executable, "-m", "holdfast.faces.cli.libvirt_keeper", str(daemon)],
        start_new_session=True,
    )
    try:
        wait_until(lambda: orphan.exists() and orphan.read_text() != "")
        wait_until(lambda: not Path(f"/proc/{int(orphan.read_text())}").exists())
        ticks = Path(f"/proc/{keeper.pid}/stat").read_text().rpartition(") ")[2].split()[19]
        (tmp_path / "started-libvirt").write_text(f"{keeper.pid} {ticks}\n")
        assert started_keeper(tmp_path) == keeper.pid
        assert stop_started(tmp_path)
        assert keeper.wait(LIMIT_S) == 0
    finally:
        keeper.kill()
        keeper.wait(LIMIT_S)
    assert started_keeper(tmp_path) == 0


def test_another_process_with_the_pid_of_our_keeper_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        (tmp_path / "started-libvirt").write_text(f"{other.pid} 1\n")
        assert not stop_started(tmp_path)
        assert other.poll() is None
        other.communicate(b"\n")


def test_one_that_cannot_be_started_ends_no_other_and_is_tried_again(
    said: list[str], tmp_path: Path
) -> None:
    program = tmp_path / "program"
    children = Children(said.append, program=(str(program),))

    def is_started() -> bool:
        children.look()
        return children.children[1].process is not None

    try:
        children.add(Child("sleeper", [sys.executable, "-c", SLEEPER, str(tmp_path / "marks")]))
        children.start("agent")
        assert said == [
            "the agent cannot be started (No such file or directory); trying again",
        ]
        assert children.that_died(1) == ["agent"]
        program.write_text("#!/bin/sh\nexec sleep 60\n")
        program.chmod(0o755)
        wait_until(is_started)
        assert is_alive(pid_of(children))
    finally:
        children.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may put a program before others")
def test_one_that_comes_first_runs_before_the_guests(said: list[str], tmp_path: Path) -> None:
    """The store: it decides who leads, and must answer in time while thirty guests boot."""
    argv = [sys.executable, "-c", SLEEPER, str(tmp_path / "marks")]
    children = Children(said.append)
    try:
        children.add(Child("sleeper", argv))
        children.add(Child("store", argv, comes_first=True))
        own = os.getpriority(os.PRIO_PROCESS, 0)
        pids = [one.process.pid for one in children.children if one.process is not None]
        assert [os.getpriority(os.PRIO_PROCESS, pid) for pid in pids] == [own, AHEAD]
    finally:
        children.stop()
