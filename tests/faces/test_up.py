"""`holdfast up` starts both programs, says what it sees, mends them, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.architecture.sources import PROJECT
from tests.faces.conftest import Run
from tests.faces.programs_that_answer import answering

LIMIT_S = 30.0
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="`up` needs root")


class Up:
    """A running `up`, and what it has said so far."""

    def __init__(self, run_dir: Path) -> None:
        config = os.environ["HOLDFAST_CONFIG"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faces.stand_in", str(run_dir), config, "up"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=PROJECT,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip("\n"))

    def wait_said(self, pattern: str, times: int = 1) -> re.Match[str]:
        """The match, once the pattern was said so often."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            found = [m for line in list(self.said) if (m := re.search(pattern, line))]
            if len(found) >= times:
                return found[-1]
            assert time.monotonic() < deadline, "\n".join(self.said)
            assert self.process.poll() is None, "\n".join(self.said)
            time.sleep(0.05)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(LIMIT_S)
        self._reader.join(LIMIT_S)
        return code


@contextmanager
def running_up(run_dir: Path) -> Iterator[Up]:
    up = Up(run_dir)
    try:
        yield up
    finally:
        if up.process.poll() is None:
            os.killpg(up.process.pid, signal.SIGKILL)
            up.process.wait(LIMIT_S)
        assert up.process.stdout is not None
        up.process.stdout.close()


def pids_of_group(group: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(") ")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return found


@as_root
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_what_it_sees_and_ends_in_order(run_dir: Path, number: signal.Signals) -> None:
    with running_up(run_dir) as up:
        up.wait_said("Alarms and incidents, as they come")
        up.wait_said("critical  db-1  The guest kernel of db-1 panicked")
        group = pids_of_group(up.process.pid)
        assert len(group) == 4, "its three programs are in one process group with `up`"
        assert up.end(number) == 0
        assert pids_of_group(up.process.pid) == []
    text = "\n".join(up.said)
    assert "holdfast: libvirt answers" in text
    assert re.search(r"web-1 +runs +gateways", text)
    assert "vm protect spare" in text
    assert "stopping; VMs run on, and nothing watches them now" in text
    assert "Traceback" not in text


@as_root
@pytest.mark.slow
def test_a_program_that_dies_is_started_again(run_dir: Path) -> None:
    with running_up(run_dir) as up:
        up.wait_said("Alarms and incidents, as they come")
        os.kill(int(up.wait_said(r"agent pid (\d+)")[1]), signal.SIGKILL)
        up.wait_said(r"the agent ended \(killed by SIGKILL\); starting it again")
        up.wait_said(r"agent pid (\d+)", times=2)
        assert up.end() == 0


@as_root
def test_a_second_one_is_refused(run: Run, run_dir: Path) -> None:
    with answering(run_dir, "agent", {}):
        ran = run("up")
    assert ran.code == 4
    assert ran.err == "holdfast: Holdfast runs here already (agent)\n  see: holdfast status\n"


@as_root
def test_without_virsh_it_says_what_installs_it(
    run: Run, site_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(site_dir))
    ran = run("up")
    assert ran.code == 3
    assert "virsh, libvirt's client, is not installed\n  `make run` installs it" in ran.err
