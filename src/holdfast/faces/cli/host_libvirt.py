"""The libvirt of this host: asked, and started only where nobody else looks after it."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from holdfast.faces.cli.exits import Exit, Failure

SYSTEMD = Path("/run/systemd/system")
ANSWER_LIMIT_S = 10.0
START_LIMIT_S = 30.0
END_LIMIT_S = 10.0
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
    """Each in a group of its own: VMs need them for longer than `up` runs."""
    daemon = next((name for name in DAEMONS if shutil.which(name, path=_path())), None)
    logger = shutil.which(LOGGER, path=_path())
    if daemon is None or logger is None:
        hint = "`make run` installs it (Debian, Ubuntu: apt-get install libvirt-daemon-system)"
        raise Failure("libvirt is not installed", hint, Exit.AWAY)
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = run_dir / "libvirt.log"
    for name in (LOGGER, daemon):
        with log.open("ab") as out:
            process = subprocess.Popen(
                [str(shutil.which(name, path=_path()))],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd="/",
            )
        Started(name, process.pid, _ticks(process.pid)).save(run_dir)
    deadline = time.monotonic() + START_LIMIT_S
    while not answers(uri):
        if time.monotonic() > deadline:
            stop_started(run_dir)
            raise Failure("libvirt was started and does not answer", f"see {log}", Exit.AWAY)
        time.sleep(0.2)


@dataclass(frozen=True)
class Started:
    """A daemon that we started: its pid, and when, so that no other process is taken for it."""

    name: str
    pid: int
    ticks: str

    def save(self, run_dir: Path) -> None:
        (run_dir / f"started-{self.name}").write_text(f"{self.pid} {self.ticks}\n")

    def is_alive(self) -> bool:
        return bool(self.ticks) and _ticks(self.pid) == self.ticks


def started(run_dir: Path) -> list[Started]:
    """What we started and still runs."""
    found = []
    for path in run_dir.glob("started-*"):
        pid, _, ticks = path.read_text().strip().partition(" ")
        found.append(Started(path.name.removeprefix("started-"), int(pid or 0), ticks))
    return [one for one in found if one.is_alive()]


def stop_started(run_dir: Path) -> list[str]:
    """End the daemons that we started; the names of those that ran."""
    ours = started(run_dir)
    for one in ours:
        os.kill(one.pid, signal.SIGTERM)
    deadline = time.monotonic() + END_LIMIT_S
    while any(one.is_alive() for one in ours) and time.monotonic() < deadline:
        _reap()
        time.sleep(0.05)
    for path in run_dir.glob("started-*"):
        path.unlink(missing_ok=True)
    return [one.name for one in ours]


def running_vms(uri: str) -> list[str]:
    return virsh(uri, "list", "--name").split()


def _reap() -> None:
    """Take the end of our own children, so that they do not look alive."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _ticks(pid: int) -> str:
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return ""
    return "" if after_name[0] == "Z" else after_name[19]


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
