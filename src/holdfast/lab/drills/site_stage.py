"""A site of several hosts as people install it: `init`, `join`, and services that start at boot."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from holdfast.lab.commands import LabError
from holdfast.lab.drills.asking import NotAnswered, ask
from holdfast.lab.drills.inbox import Arrival, Inbox
from holdfast.lab.drills.ledger import OF_ITSELF, Say
from holdfast.lab.drills.processes import list_children
from holdfast.lab.hosts import Host, Lab
from holdfast.lab.namespaces import Holder
from holdfast.lab.network import PLANES
from holdfast.lab.outside import Outside
from holdfast.lab.site import INSTALL_LIMIT_S, install, write_settings

RUN_FOLDER = "/run/holdfast"
STATE_FOLDER = "/var/lib/holdfast"
SECRET_FILE = "/etc/holdfast/drill.secret"
LOG_FOLDER = "/var/log/holdfast"
INIT_SCRIPT = "/etc/init.d/holdfast"
OF_LOST_HOST = "vm-on-lost-host"
EAR_MODULE = b"holdfast.controller.ear"
SETTINGS = """
[webhook.drill]
url = "http://{receiver}/alarms"
secret_file = "{secret}"

[group.drill]
owner = "holdfast"
level = 1
restarts = 1000
restarts_window_s = 1
"""
WELL_LIMIT_S = 180.0
POLL_S = 0.1
COMPLAINTS = 5


class SiteStage:
    """For the length of a `with` block, Holdfast runs on every host and reports to `inbox`."""

    def __init__(self, lab: Lab, say: Say, controllers: int = 3) -> None:
        """Nothing runs until the block begins; the first hosts are the controllers'."""
        self.lab, self.say = lab, say
        self.hosts = lab.hosts
        self.controllers = lab.hosts[: controllers if len(lab.hosts) >= controllers else 1]
        self.outside = Outside(lab.name)
        self.inbox = Inbox(self.outside, self.outside.address)
        self.notes: list[str] = []
        self._ids: dict[str, str] = {}
        self._spent: set[str] = set()  # VMs that drills break and throw away.
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            exits.enter_context(self.inbox)
            began = time.monotonic()
            for host in self.hosts:
                self._write_settings(host)
            install(self.hosts, 3 if len(self.controllers) == 3 else 1)
            for host in self.hosts:
                self._ids[host.name] = host.path(f"{STATE_FOLDER}/host-id").read_text().strip()
            self.say(f"the site is installed after {time.monotonic() - began:.0f} s")
            self.wait_well()
            self.say(f"the site is well after {time.monotonic() - began:.0f} s")
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.close()

    def id_of(self, host: Host) -> str:
        """The host's id, by which alarms name it."""
        return self._ids[host.name]

    @property
    def plain_host(self) -> Host:
        """A host that is no controller's, if there is one: its loss takes nobody who reports."""
        return self.hosts[-1]

    def leader(self) -> Host:
        """The host whose controller leads; raises LabError if there is none."""
        for host in self.controllers:
            if host.is_powered_on and self.status(host).get("term") is not None:
                return host
        raise LabError("no controller leads")

    def status(self, host: Host) -> dict[str, Any]:
        """What a controller says of itself; empty while it does not answer."""
        try:
            told: dict[str, Any] = self.ask(host, "status")
        except NotAnswered:
            return {}
        return told

    def ask(self, host: Host, question: str, args: Mapping[str, Any] | None = None) -> Any:
        """The answer of a host's controller."""
        return ask(host.path(f"{RUN_FOLDER}/controller.sock"), question, **(args or {}))

    def find_program(self, host: Host, name: str) -> Holder:
        """The process of a program on a host: agent, pulse, controller, store, or ear."""
        if name != "ear":
            try:
                return Holder.of_pid(host.read_pid(f"{RUN_FOLDER}/{name}.pid"))
            except FileNotFoundError:
                raise LabError(f"{host.name}: no {name} runs as a service") from None
        for pid in list_children(self.find_program(host, "controller").pid):
            if EAR_MODULE in Path(f"/proc/{pid}/cmdline").read_bytes():
                return Holder.of_pid(pid)
        raise LabError(f"{host.name}: its controller has no ear")

    def restart_services(self, host: Host, env: Mapping[str, str]) -> None:
        """Restart all of a host's programs on purpose, with more in their environment."""
        host.run([INIT_SCRIPT, "restart"], timeout_s=INSTALL_LIMIT_S, env=env)

    def wait_vms(self, host: Host, uuids: Iterable[str], limit_s: float = WELL_LIMIT_S) -> None:
        """Wait until every controller knows that these VMs run on the host.

        From then on their own deaths are no open matter: they are the drill's to break.
        """
        wanted = set(uuids)
        self._spent |= wanted

        def list_missing() -> list[str]:
            found = []
            for controller in self.controllers:
                told = self.ask(controller, "host", {"host": self.id_of(host)})
                known = {row["vm"] for row in told["vms"]}
                found += [f"{controller.name} does not know {len(wanted - known)} VMs"]
                if wanted <= known:
                    found.pop()
            return found

        self.wait(lambda: not list_missing(), lambda: "; ".join(list_missing()), limit_s)

    def is_spent(self, subject: str) -> bool:
        """Whether this is a VM that a drill broke and threw away."""
        return subject in self._spent

    def wait_well(self, limit_s: float = WELL_LIMIT_S) -> None:
        """Wait until one controller leads, every host is heard, and no alarm is open."""
        self.wait(lambda: not self._list_ills(), lambda: "; ".join(self._list_ills()), limit_s)

    def wait_cleared(self, since_ns: int, limit_s: float) -> list[Arrival]:
        """Wait until all that was raised since an instant is cleared; returns what is not."""
        deadline = time.monotonic() + limit_s
        while True:
            still = self._list_open(since_ns)
            if not still or time.monotonic() > deadline:
                return still
            time.sleep(POLL_S)

    def wait(self, is_so: Callable[[], bool], what: Callable[[], str], limit_s: float) -> None:
        """Wait for a condition; raises LabError with what ails when the time is over."""
        deadline = time.monotonic() + limit_s
        while not is_so():
            if time.monotonic() > deadline:
                raise LabError(f"not within {limit_s:g} s: {what()}")
            time.sleep(POLL_S)

    def read_complaints(self) -> list[str]:
        """What programs warned of in their logs, the newest last."""
        found = []
        for host in self.hosts:
            for log in sorted((host.disks / LOG_FOLDER.lstrip("/")).glob("*")):
                with suppress(OSError):
                    lines = log.read_text(errors="replace").splitlines()
                    bad = [line for line in lines if ": ERROR" in line or ": WARNING" in line]
                    found += [f"{host.name}: {line}" for line in bad[-2:]]
        return found[-COMPLAINTS:]

    def _write_settings(self, host: Host) -> None:
        receiver = f"{self.inbox.address}:{self.inbox.port}"
        write_settings(host, SETTINGS.format(receiver=receiver, secret=SECRET_FILE))
        host.path(SECRET_FILE).touch(mode=0o600)
        host.path(SECRET_FILE).write_text(self.inbox.secret)

    def _list_ills(self) -> list[str]:
        ills = [f"{host.name} has no power" for host in self.hosts if not host.is_powered_on]
        if ills:
            return ills
        try:
            self.leader()
            for controller in self.controllers:
                status = self.ask(controller, "status")
                heard = {row["host"] for row in status["hosts"] if is_serving(row)}
                heard &= {row["host"] for row in status["agents"] if row["is_up"]}
                names = [host.name for host in self.hosts if self.id_of(host) not in heard]
                ills += [f"{controller.name} does not hear {name}" for name in names]
        except (LabError, OSError) as error:
            return [*ills, str(error)]
        return ills + [f"{one.condition}: {one.text}" for one in self._list_open(0)]

    def _list_open(self, since_ns: int) -> list[Arrival]:
        """Alarms raised since an instant whose newest revision is not cleared."""
        newest: dict[str, Arrival] = {}
        for one in self.inbox.list_since(since_ns):
            if one.key and (one.key not in newest or one.revision >= newest[one.key].revision):
                newest[one.key] = one
        return [
            one
            for one in newest.values()
            if one.state != "cleared"
            and one.condition != OF_ITSELF
            and (not self.is_spent(one.subject) or one.condition == OF_LOST_HOST)
        ]


def is_serving(row: Mapping[str, Any]) -> bool:
    """Whether a controller hears the host on every plane, and knows of no fault."""
    return len(row["planes_heard"]) == len(PLANES) and not row["is_silent"] and not row["faults"]
