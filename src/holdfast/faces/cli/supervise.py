"""Where no systemd runs: one process that starts this host's programs, and starts them again."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click

from holdfast.adapters.drivers.only_one import NotTheOnlyOne, only_one
from holdfast.faces.cli.children import Child, Children
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.hostname import name_of_host
from holdfast.faces.cli.services import services_of
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.facts.settings import DEFAULT_FILE, Settings
from holdfast.ports.priority import lead_session

LOG_FOLDER = Path("/var/log/holdfast")
LOG_BYTES = 4 << 20
LOOK_S = 0.05
PID_FILE = "supervise.pid"
OOM_SCORE_ADJ = "-900"  # As in units/.
START_LIMIT_S = 15.0
STOP_LIMIT_S = 60.0


@click.command()
@click.option("--detach", is_flag=True, help="Begin it in the background.")
@click.option("--stop", "is_stop", is_flag=True, help="End the one that runs, and its programs.")
@click.option("--status", "is_status", is_flag=True, help="Say whether one runs.")
@pass_site
def supervise(site: Site, detach: bool, is_stop: bool, is_status: bool) -> None:
    """Start this host's programs, and start them again when they end. /etc/init.d/holdfast does.

    Their logs are in /var/log/holdfast, the newest 8 MiB of each program.
    """
    settings, config = site.settings, site.config or DEFAULT_FILE
    pid_file = Path(settings.run_dir) / PID_FILE
    if is_status:
        _say_status(pid_file)
    elif is_stop:
        _stop(pid_file)
    elif detach:
        _detach(config, pid_file)
    else:
        _supervise(settings, config)


def _say_status(pid_file: Path) -> None:
    pid = supervisor(pid_file)
    if pid is None:
        raise Failure("Holdfast's services do not run here", code=Exit.AWAY)
    click.echo(f"Holdfast's services run here (supervisor: process {pid})")


def _detach(config: str, pid_file: Path) -> None:
    if supervisor(pid_file) is not None:
        click.echo("holdfast: its services run already")
        return
    program = [sys.executable, "-P", "-m", "holdfast.faces.cli.main", "--config", config]
    log = _Log("supervise")
    with log.opened() as words:
        process = subprocess.Popen(
            [*(program if config != DEFAULT_FILE else program[:-2]), "supervise"],
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
        )
    deadline = time.monotonic() + START_LIMIT_S
    while supervisor(pid_file) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            hint = f"it says why: {log.path}"
            raise Failure("Holdfast's services did not start", hint, Exit.BROKEN)
        time.sleep(LOOK_S)


def _stop(pid_file: Path) -> None:
    pid = supervisor(pid_file)
    if pid is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_LIMIT_S
    while supervisor(pid_file) is not None:
        if time.monotonic() > deadline:
            raise Failure(f"the supervisor (process {pid}) does not end", code=Exit.BROKEN)
        time.sleep(LOOK_S)


def supervisor(pid_file: Path) -> int | None:
    """The supervisor's pid while it lives; a file that was left behind means nothing."""
    try:
        pid = int(pid_file.read_text())
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    except OSError as error:
        raise Failure(f"cannot read {error.filename}: {error.strerror}", "use sudo") from None
    return pid if b"supervise" in argv else None


def _supervise(settings: Settings, config: str) -> None:
    run_dir = Path(settings.run_dir)
    services = services_of(settings, config, name_of_host(settings))
    asked = threading.Event()
    _be_spared()
    lead_session()
    try:
        with only_one("supervise", run_dir), _signals(asked):
            children = Children(say=_say)
            pids = _PidFiles(run_dir, children)
            try:
                for service in services:
                    pipe = _Log(service.name).pipe
                    children.add(
                        Child(service.name, service.argv, pipe, comes_first=service.comes_first)
                    )
                pids.write()
                while not asked.wait(LOOK_S):
                    children.look()
                    pids.write()
            finally:
                children.stop_one_by_one()
                pids.remove()
    except NotTheOnlyOne:
        raise Failure("Holdfast's services run here already") from None


def _be_spared() -> None:
    """When memory is short other programs end first, as with systemd's units; children inherit."""
    with contextlib.suppress(OSError):  # Not permitted in some containers.
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE_ADJ)


@contextlib.contextmanager
def _signals(asked: threading.Event) -> Iterator[None]:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: asked.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield


def _say(text: str) -> None:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    print(f"{stamp}Z supervise: {text}", flush=True)


class _PidFiles:
    """`NAME.pid` of each program, so that one alone can be restarted: kill -TERM; and our own."""

    def __init__(self, run_dir: Path, children: Children) -> None:
        self._run_dir, self._children = run_dir, children
        self._written: dict[str, int] = {}

    def write(self) -> None:
        """What cannot be written now is tried again with the next look."""
        started = [(child.name, child.process) for child in self._children.children]
        pids = {name: process.pid for name, process in started if process is not None}
        for file, pid in {**_files(pids), PID_FILE: os.getpid()}.items():
            if self._written.get(file) != pid:
                with contextlib.suppress(OSError):
                    (self._run_dir / file).write_text(f"{pid}\n")
                    self._written[file] = pid

    def remove(self) -> None:
        for file in self._written:
            (self._run_dir / file).unlink(missing_ok=True)


def _files(pids: dict[str, int]) -> dict[str, int]:
    return {f"{name}.pid": pid for name, pid in pids.items()}


class _Log:
    """A program's words, in a file and the one before it; more than that is not kept."""

    def __init__(self, name: str) -> None:
        self.path = LOG_FOLDER / f"{name}.log"

    def pipe(self) -> IO[bytes]:
        """What a program writes into this is logged by a thread of ours until it ends."""
        reading, writing = os.pipe()
        threading.Thread(target=self._keep, args=(reading,), name="log", daemon=True).start()
        return os.fdopen(writing, "wb", buffering=0)

    def _keep(self, reading: int) -> None:
        with os.fdopen(reading, "rb") as source:
            for line in iter(source.readline, b""):
                with contextlib.suppress(OSError, Failure):  # A full disk stops no program.
                    self._write(line)

    def opened(self) -> IO[bytes]:
        """Raises Failure."""
        try:
            self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            return self.path.open("ab")
        except OSError as error:
            raise Failure(f"cannot write {self.path}: {error.strerror}", "use sudo") from None

    def _write(self, line: bytes) -> None:
        with self.opened() as file:
            file.write(line)
            is_full = file.tell() > LOG_BYTES
        if is_full:
            self.path.replace(self.path.with_name(self.path.name + ".1"))
