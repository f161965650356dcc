"""The libvirt of this host: asked, and started only where nobody else looks after it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from holdfast.adapters.drivers.private_folder import make_private_folder
from holdfast.faces.cli.exits import Exit, Failure

SYSTEMD = Path("/run/systemd/system")
ANSWER_LIMIT_S = 10.0
START_LIMIT_S = 30.0
END_LIMIT_S = 10.0
RECORD = "started-libvirt"
LOGGER = "virtlogd"
DAEMONS = ("libvirtd", "virtqemud")


def virsh(uri: str, *arguments: str, stdin: str | None = None, limit_s: float = 30.0) -> str:
    """What virsh prints. Raises Failure with its own words; AWAY when it does not answer."""
    argv = ["virsh", "--quiet", "--connect", uri, *arguments]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=limit_s,
            env=environment,
            check=False,
        )
    except FileNotFoundError:
        hint = "`make run` installs it (Debian, Ubuntu: apt-get install libvirt-clients)"
        raise Failure("virsh, libvirt's client, is not installed", hint, Exit.AWAY) from None
    except subprocess.TimeoutExpired:
        reason = f"libvirt did not answer within {limit_s:g} s: virsh {arguments[0]}"
        raise Failure(reason, code=Exit.AWAY) from None
    if done.returncode != 0:
        words = done.stderr.strip().removeprefix("error: ").replace("\nerror: ", ": ")
        raise Failure(f"libvirt: {words}", code=Exit.REFUSED)
    return done.stdout


def answers(uri: str) -> bool:
    try:
        virsh(uri, "uri", limit_s=ANSWER_LIMIT_S)
    except Failure as failure:
        if "not installed" in failure.message:
            raise
        return False
    return True


def ensure_libvirt(uri: str, run_dir: Path, say: Callable[[str], None]) -> None:
    """Raises Failure where libvirt is away and somebody else decides when it runs."""
    if answers(uri):
        say("libvirt answers")
        return
    running = [f"{name} (pid {pid})" for name, pid in _running()]
    if running:
        say(f"{' and '.join(running)} runs and does not answer; VMs are watched without it")
        return
    if SYSTEMD.is_dir():
        hint = "start it: systemctl start libvirtd"
        raise Failure("libvirt does not run", hint, Exit.AWAY)
    _start(uri, run_dir)
    say("libvirt did not run, and there is no systemd: started virtlogd and libvirtd")


def _running() -> Iterator[tuple[str, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                name = (entry / "comm").read_text().strip()
                is_near = (entry / "ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink()
            except OSError:
                continue
            if name in DAEMONS and is_near:
                yield name, int(entry.name)


def _start(uri: str, run_dir: Path) -> None:
    """In a session of its own: VMs need it for longer than `up` runs."""
    names = (LOGGER, next((name for name in DAEMONS if _which(name)), DAEMONS[0]))
    programs = [_which(name) for name in names]
    if not all(programs):
        hint = "`make run` installs it (Debian, Ubuntu: apt-get install libvirt-daemon-system)"
        raise Failure("libvirt is not installed", hint, Exit.AWAY)
    make_private_folder(run_dir)
    log = run_dir / "libvirt.log"
    with log.open("ab") as out:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "holdfast.faces.cli.libvirt_keeper", *programs],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            cwd="/",
        )
    (run_dir / RECORD).write_text(f"{keeper.pid} {_ticks(keeper.pid)}\n")
    deadline = time.monotonic() + START_LIMIT_S
    while not answers(uri):
        if time.monotonic() > deadline:
            stop_started(run_dir)
            raise Failure("libvirt was started and does not answer", f"see {log}", Exit.AWAY)
        time.sleep(0.2)


def started_keeper(run_dir: Path) -> int:
    """The pid of the keeper of the libvirt that we started and that still runs; else 0."""
    try:
        pid, _, ticks = (run_dir / RECORD).read_text().strip().partition(" ")
    except OSError:
        return 0
    return int(pid) if ticks and _ticks(int(pid)) == ticks else 0


def stop_started(run_dir: Path) -> bool:
    """End the libvirt that we started; VMs would run on. Whether there was one."""
    pid = started_keeper(run_dir)
    if pid:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + END_LIMIT_S
        while started_keeper(run_dir) and time.monotonic() < deadline:
            time.sleep(0.05)
    (run_dir / RECORD).unlink(missing_ok=True)
    return bool(pid)


def running_vms(uri: str) -> list[str]:
    return virsh(uri, "list", "--name").split()


def _ticks(pid: int) -> str:
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return ""
    return "" if after_name[0] == "Z" else after_name[19]


def _which(name: str) -> str:
    """A login without /sbin in its path finds them all the same."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") or ""
