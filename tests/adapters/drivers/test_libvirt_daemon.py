"""How a daemon ended, and what it does, told by the kernel; a stand-in bears its name."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdfast.adapters.drivers import pidfds
from holdfast.adapters.drivers.libvirt_daemon import LOCAL_URI, find_daemon
from holdfast.adapters.drivers.one_process import Daemon
from holdfast.facts.exits import spoken_exit

LIMIT_S = 10.0
# Two threads, as the status of the first one is there only when it was reaped.
STAND_IN = """
import ctypes, os, signal, sys, threading, time
ctypes.CDLL(None).prctl(15, sys.argv[3].encode(), 0, 0, 0)
signal.signal(signal.SIGTERM, lambda *_: os._exit(int(sys.argv[1])))
threading.Thread(target=time.sleep, args=[60], daemon=True).start()
print("ready", flush=True)
while sys.argv[2] == "busy":
    pass
time.sleep(60)
"""


@contextmanager
def stand_in(
    run: Path, *, code: int = 0, busy: bool = False, name: str = "libvirtd"
) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", STAND_IN, str(code), "busy" if busy else "idle", name]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            (run / f"{name}.pid").write_text(f"{process.pid}\n")
            yield process
        finally:
            process.kill()


def found(run: Path) -> Daemon:
    daemon = find_daemon(LOCAL_URI, run)
    assert daemon is not None
    return daemon


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.skipif(not pidfds.probe_status(), reason="this kernel tells no exit status")
@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGKILL, 0, "killed by SIGKILL"),
        (signal.SIGSEGV, 0, "crashed (SIGSEGV)"),
        (signal.SIGTERM, 0, "exit code 0"),
        (signal.SIGTERM, 3, "exit code 3"),
    ],
)
def test_how_it_ended_is_known_before_anybody_reaped_it(
    tmp_path: Path, number: signal.Signals, code: int, said: str
) -> None:
    with stand_in(tmp_path, code=code) as process:
        daemon = found(tmp_path)
        assert not daemon.wait_ended(0)
        os.kill(process.pid, number)
        assert daemon.wait_ended(LIMIT_S)
        status = daemon.exit_status()
        assert status is not None
        assert spoken_exit(status).startswith(said)
        daemon.close()


def test_what_it_does_is_seen(tmp_path: Path) -> None:
    with stand_in(tmp_path) as process:
        daemon = found(tmp_path)
        # While it starts it sleeps now and then.
        wait_until(lambda: (one := daemon.look()).letter == "S" and not one.is_runnable)
        os.kill(process.pid, signal.SIGSTOP)
        wait_until(lambda: daemon.look().letter == "T")
        daemon.close()


def test_a_busy_one_uses_its_cpu(tmp_path: Path) -> None:
    with stand_in(tmp_path, busy=True):
        daemon = found(tmp_path)
        before = daemon.look().used_ns
        wait_until(lambda: daemon.look().used_ns - before > 50_000_000)
        assert daemon.look().is_runnable
        daemon.close()


def test_only_a_process_of_that_name_is_believed(tmp_path: Path) -> None:
    assert find_daemon(LOCAL_URI, tmp_path) is None
    (tmp_path / "libvirtd.pid").write_text(f"{os.getpid()}\n")
    assert find_daemon(LOCAL_URI, tmp_path) is None
    (tmp_path / "libvirtd.pid").write_text("nonsense\n")
    assert find_daemon(LOCAL_URI, tmp_path) is None


def test_another_address_may_lead_to_another_daemon(tmp_path: Path) -> None:
    with stand_in(tmp_path):
        assert find_daemon("qemu:///system?socket=/elsewhere", tmp_path) is None
        first, again = found(tmp_path), found(tmp_path)
        assert first.is_same(again)
        first.close()
        again.close()


def test_where_two_daemons_run_neither_is_taken(tmp_path: Path) -> None:
    with stand_in(tmp_path), stand_in(tmp_path, name="virtqemud"):
        assert find_daemon(LOCAL_URI, tmp_path) is None
    with stand_in(tmp_path, name="virtqemud") as process:
        (tmp_path / "libvirtd.pid").unlink()
        daemon = found(tmp_path)
        assert (daemon.pid, daemon.name) == (process.pid, "virtqemud")
        daemon.close()
