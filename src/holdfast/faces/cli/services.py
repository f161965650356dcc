"""The programs as services: systemd's units where it runs, else an init script and a supervisor."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

from holdfast.faces.cli.exits import Exit, Failure
from holdfast.facts.settings import DEFAULT_FILE, Settings

PULSE, STORE, CONTROLLER, AGENT = "pulse", "store", "controller", "agent"
HOST_STOPS = "host-stops"
TARGET = "holdfast.target"  # All of them: to start what ended, or to stop Holdfast here.
TEMPLATES = Path(__file__).with_name("units")
COMMAND_LIMIT_S = 90.0
SYSTEMD_LIMIT_S = 5.0
TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # A private one hides all that lies in these.
Say = Callable[[str], None]


class Service(Struct, frozen=True, kw_only=True):
    """One program that runs for as long as the host does."""

    name: str
    argv: tuple[str, ...]
    comes_first: bool = False  # Before the guests; our own programs see to that themselves.


class Machine(Struct, frozen=True, kw_only=True):
    """Where services are written; tests give folders of their own."""

    units: Path = Path("/etc/systemd/system")
    init_script: Path = Path("/etc/init.d/holdfast")
    systemd: Path = Path("/run/systemd/system")
    hooks: Path = Path("/etc/libvirt/hooks")
    python: str = sys.executable
    code: Path = Path(__file__)

    @property
    def has_systemd(self) -> bool:
        return self.systemd.is_dir()


def is_controller_here(settings: Settings, host_name: str) -> bool:
    """Without a list of controllers, the one of the site is the one of this host."""
    return not settings.controllers or settings.place_of(host_name) is not None


def store_file(config: str) -> Path:
    """Etcd's own settings, beside ours."""
    return Path(config).with_name("store.yaml")


def services_of(settings: Settings, config: str, host_name: str) -> list[Service]:
    """In the order in which they start; they end in the opposite one."""
    program: tuple[str, ...] = (sys.executable, "-P", "-m", "holdfast.faces.cli.main")
    if config != DEFAULT_FILE:
        program = (*program, "--config", config)
    found = [Service(name=PULSE, argv=(*program, PULSE))]
    if is_controller_here(settings, host_name):
        if settings.store == "etcd":
            argv = (etcd_program(), "--config-file", str(store_file(config)))
            found.append(Service(name=STORE, argv=argv, comes_first=True))
        found.append(Service(name=CONTROLLER, argv=(*program, CONTROLLER)))
    return [*found, Service(name=AGENT, argv=(*program, AGENT))]


def etcd_program() -> str:
    """Raises Failure where the distribution's etcd is not installed."""
    found = shutil.which("etcd")
    if found is None:
        hint = "scripts/install controller, or: apt-get install etcd-server"
        raise Failure("a site with three controllers needs etcd, which is not here", hint)
    return found


def install(settings: Settings, config: str, host_name: str, say: Say, on: Machine) -> None:
    """Write the services, have them start at boot, and start them now. Raises Failure."""
    services = services_of(settings, config, host_name)
    for folder in (settings.state_dir, settings.run_dir, settings.cache_dir):
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    words = _words(settings, config, on)
    if on.has_systemd:
        names = [f"holdfast-{name}.service" for name in [*_names(services), HOST_STOPS]]
        for name in (*names, TARGET):
            write(on.units / name, filled(TEMPLATES / name, words), 0o644)
        _run("systemctl", "daemon-reload")
        _run("systemctl", "enable", "--quiet", *names, TARGET)
        _run("systemctl", "restart", *names)
        _run("systemctl", "start", TARGET)
        say(f"services were started, and start at boot: {', '.join(names)} (systemd)")
        return
    write(on.init_script, filled(TEMPLATES / "holdfast.init", words), 0o755)
    if shutil.which("update-rc.d"):
        _run("update-rc.d", "holdfast", "defaults")
    _run(str(on.init_script), "restart")
    names = _names(services)
    say(f"services were started, and start at boot: {', '.join(names)} ({on.init_script})")


def stop(names: Iterable[str], on: Machine) -> None:
    """For a moment, while something is changed beneath them; `install` or `start` ends it. Without
    systemd all services stop: they have one supervisor, and none of them ends alone."""
    if on.has_systemd:
        _run("systemctl", "stop", *[f"holdfast-{name}.service" for name in names])
    elif on.init_script.exists():
        _run(str(on.init_script), "stop")


def start(names: Iterable[str], on: Machine) -> None:
    """What `stop` stopped, as it was installed before. Raises Failure."""
    if on.has_systemd:
        _run("systemctl", "start", *[f"holdfast-{name}.service" for name in names])
    elif on.init_script.exists():
        _run(str(on.init_script), "start")


def command_to_start(on: Machine) -> str:
    """What a person types to start whatever of it does not run."""
    return f"systemctl start {TARGET}" if on.has_systemd else f"{on.init_script} start"


def remove(say: Say, on: Machine) -> None:
    """Stop all of them, and take every file of theirs away. Raises Failure."""
    units = sorted(on.units.glob("holdfast-*.service")) if on.has_systemd else []
    if units:
        units.append(on.units / TARGET)
        names = [unit.name for unit in units]
        _run("systemctl", "disable", "--quiet", *names)
        _run("systemctl", "stop", *names)
        for unit in units:
            unit.unlink(missing_ok=True)
        _run("systemctl", "daemon-reload")
        say(f"services ended and removed: {', '.join(names)}")
    if on.init_script.exists():
        _run(str(on.init_script), "stop")
        on.init_script.unlink()
        if shutil.which("update-rc.d"):
            _run("update-rc.d", "holdfast", "remove")
        say(f"services ended and removed: {on.init_script}")


def runs(name: str, settings: Settings, on: Machine) -> bool:
    """Whether the program of a service lives at this moment."""
    if on.has_systemd:
        return state_of_unit(name) == "active"
    try:
        pid = int((Path(settings.run_dir) / f"{name}.pid").read_text())
    except (OSError, ValueError):
        return False
    return Path(f"/proc/{pid}").exists()


def state_of_unit(name: str) -> str:
    """One that waits to be started again is "activating"; empty where systemd does not answer."""
    try:
        done = subprocess.run(
            ["systemctl", "is-active", f"holdfast-{name}.service"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SYSTEMD_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def words_of(name: str, on: Machine) -> str:
    """Where a service says why it ended."""
    return f"journalctl -u holdfast-{name}" if on.has_systemd else f"/var/log/holdfast/{name}.log"


def _names(services: list[Service]) -> list[str]:
    return [service.name for service in services]


def _words(settings: Settings, config: str, on: Machine) -> dict[str, str]:
    program = f"{on.python} -P -m holdfast.faces.cli.main"
    if config != DEFAULT_FILE:
        program += f" --config {config}"
    folders = (settings.state_dir, settings.run_dir, settings.cache_dir)
    etcd = shutil.which("etcd") or "/usr/bin/etcd"
    needed: tuple[str | Path, ...] = (on.python, on.code, config, settings.tls_dir, etcd, *folders)
    return {
        "PRIVATE_TMP": "no" if any(map(_is_temporary, needed)) else "yes",
        "PROGRAM": program,
        "FOLDERS": " ".join(f"-{folder}" for folder in folders),
        "ETC": str(Path(config).parent),
        "RUN": settings.run_dir,
        "ETCD": etcd,
        "STORE": str(store_file(config)),
    }


def _is_temporary(needed: str | Path) -> bool:
    path = Path(needed)
    return any(one.is_relative_to(folder) for one in (path, path.resolve()) for folder in TEMPORARY)


def filled(template: Path, words: dict[str, str]) -> str:
    """A template with a value for each @NAME@ of `words`."""
    text = template.read_text()
    for name, value in words.items():
        text = text.replace(f"@{name}@", value)
    return text


def write(path: Path, text: str, mode: int) -> None:
    """Whole or not at all. Raises Failure."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.new")
        beside.write_text(text)
        beside.chmod(mode)
        beside.replace(path)
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}", "run it with sudo") from None


def _run(*argv: str) -> None:
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(f"`{' '.join(argv)}` failed: {error}", code=Exit.BROKEN) from None
    if done.returncode != 0:
        said = done.stdout.strip() or f"exit code {done.returncode}"
        raise Failure(f"`{' '.join(argv)}` failed: {said}", code=Exit.BROKEN)
