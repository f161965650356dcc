"""Holdfast on one host as a user runs it: controller, pulse, agent, and the drill's receiver."""

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from holdfast.facts.wire import VmSummary
from holdfast.lab.commands import LabError
from holdfast.lab.drills.asking import NotAnswered, ask
from holdfast.lab.drills.inbox import Inbox
from holdfast.lab.drills.ledger import Say
from holdfast.lab.drills.processes import (
    list_children,
    list_tree,
    signal_holder,
    wait_until_ended,
)
from holdfast.lab.guests import Guest
from holdfast.lab.hosts import Host
from holdfast.lab.namespaces import Holder
from holdfast.lab.site import holdfast

RUN_FOLDER = "/run/holdfast-drill"
STATE_FOLDER = "/var/lib/holdfast/drill"
GROUP = "drill"
# Back-off is for VMs that fail by themselves: here each failure is ours, and a new one.
SETTINGS = """# Written by a drill.
[storage]
state_dir = "{state}"
run_dir = "{run}"

[webhook.drill]
url = "http://127.0.0.1:{port}/alarms"
secret_file = "{run}/secret"

[group.drill]
owner = "holdfast"
level = 1
restarts = 1000
restarts_window_s = 1

[vswitch]
canary = true
"""
START_LIMIT_S = 60.0
END_LIMIT_S = 10.0
CLI_LIMIT_S = 60.0
POLL_S = 0.05
COMPLAINTS = 5


class Program:
    """One of Holdfast's programs on a host; its words go to a log on that host."""

    def __init__(self, host: Host, argv: Sequence[str], log: Path) -> None:
        """Start it."""
        self._words = log.open("ab")
        self._launcher: subprocess.Popen[Any] = host.popen(
            [*argv],
            env={"HOLDFAST_CONFIG": f"{RUN_FOLDER}/holdfast.toml"},
            stdin=subprocess.DEVNULL,
            stdout=self._words,
            stderr=self._words,
            start_new_session=True,
        )
        self._log = log

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._launcher.poll() is None

    def read_log(self) -> str:
        """The last of what it said."""
        return self._log.read_text(errors="replace")[-1500:].strip()

    def list_tree(self) -> list[Holder]:
        """The program and its workers, without the launcher that waits for it outside."""
        children = list_children(self._launcher.pid)
        return [holder for child in children for holder in list_tree(child)]

    def kill(self) -> list[Holder]:
        """Kill -9 the program itself, not its workers; returns those that outlive it for long."""
        tree = self.list_tree()
        if tree:
            signal_holder(tree[0], signal.SIGKILL)
        return self._see_end(tree)

    def end(self) -> list[Holder]:
        """Ask it to end; returns what had to be killed."""
        tree = self.list_tree()
        if tree:
            signal_holder(tree[0], signal.SIGTERM)
        return self._see_end(tree)

    def _see_end(self, tree: list[Holder]) -> list[Holder]:
        left = wait_until_ended(tree, END_LIMIT_S)
        for holder in left:
            signal_holder(holder, signal.SIGKILL)
        self._launcher.kill()
        self._launcher.wait()
        self._words.close()
        return left


class Stage:
    """For the length of a `with` block, Holdfast runs on the host and reports to `inbox`."""

    def __init__(self, host: Host, say: Say, settings: str = "") -> None:
        """Nothing runs until the block begins. `settings` are more of them, for this stage,
        first of [vswitch]."""
        self._more_settings = settings
        self.host = host
        self.say = say
        self.inbox = Inbox(host)
        self.notes: list[str] = []
        self._agent: Program | None = None
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            exits.callback(self._remove_folders)
            self._remove_folders()
            for folder in (RUN_FOLDER, STATE_FOLDER):
                self.host.path(folder).mkdir(parents=True, mode=0o700)
            exits.enter_context(self.inbox)
            text = SETTINGS.format(state=STATE_FOLDER, run=RUN_FOLDER, port=self.inbox.port)
            self._inside("holdfast.toml").write_text(text + self._more_settings)
            self._inside("secret").touch(mode=0o600)
            self._inside("secret").write_text(self.inbox.secret)
            controller = Program(self.host, holdfast("controller"), self._inside("controller.log"))
            exits.callback(self._end, controller, "controller")
            self._wait_answer("controller", controller)
            pulse = Program(self.host, holdfast("pulse"), self._inside("pulse.log"))
            exits.callback(self._end, pulse, "pulse")
            exits.callback(self._end_agent)
            self.start_agent()
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.close()

    @property
    def agent(self) -> Program:
        """The agent that runs now."""
        assert self._agent is not None
        return self._agent

    def start_agent(self) -> None:
        """Start the agent; returns when it answers on its socket."""
        self._agent = Program(self.host, holdfast("agent"), self._inside("agent.log"))
        self._wait_answer("agent", self._agent)

    def kill_agent(self) -> None:
        """Kill -9 the agent and see its workers end by themselves."""
        assert self._agent is not None
        self._note_left(self._agent.kill(), "agent (kill -9)")
        self._agent = None

    def cli(self, *words: str) -> str:
        """Run a command of Holdfast on the host, as a user would; returns its output."""
        config = {"HOLDFAST_CONFIG": f"{RUN_FOLDER}/holdfast.toml"}
        return self.host.run(holdfast(*words), timeout_s=CLI_LIMIT_S, env=config).stdout

    def protect(self, guest: Guest) -> None:
        """Let Holdfast restart the guest when it fails; it answers by its agent."""
        self.wait_vm(guest, lambda _: True, "is seen")
        self.cli("vm", "protect", guest.name, "--group", GROUP, "--answers", "agent")

    def ask_vms(self) -> list[VmSummary]:
        """What the agent says of its VMs."""
        return msgspec.convert(ask(self._inside("agent.sock"), "vms"), list[VmSummary])

    def wait_vm(
        self, guest: Guest, is_so: Callable[[VmSummary], bool], what: str, limit_s: float = 30.0
    ) -> None:
        """Wait until the agent says this of the guest; raises LabError if it does not."""
        deadline = time.monotonic() + limit_s
        last: VmSummary | None = None
        while time.monotonic() < deadline:
            for vm in self.ask_vms():
                if vm.vm == guest.plan.uuid:
                    last = vm
                    if is_so(vm):
                        return
            time.sleep(POLL_S)
        raise LabError(f"{guest.name}: not so within {limit_s:g} s: {what}; the agent says {last}")

    def wait_settled(self, guest: Guest, limit_s: float = 60.0) -> None:
        """Wait until the agent watches the guest's present life and has nothing against it."""
        pid_file = self.host.path(f"/run/libvirt/qemu/{guest.name}.pid")
        pid = int(pid_file.read_text())
        self.wait_vm(
            guest,
            lambda vm: vm.pid == pid and vm.is_running and not vm.incident,
            f"it watches pid {pid} and has no open incident",
            limit_s,
        )

    def read_complaints(self) -> list[str]:
        """What the programs warned of in their logs, the newest last."""
        found = []
        for name in ("controller", "pulse", "agent"):
            log = self._inside(f"{name}.log")
            text = log.read_text(errors="replace") if log.exists() else ""
            starts = re.compile(rf"^(?=(?:\S+ \S+ )?{name}: )", re.MULTILINE)
            entries = [each.splitlines() for each in starts.split(text)]
            bad = [each for each in entries if each and re.search("WARNING|ERROR", each[0])]
            # Of a traceback, the last line says what it was.
            found += [" ... ".join(dict.fromkeys((each[0], each[-1]))) for each in bad]
        return found[-COMPLAINTS:]

    def _wait_answer(self, name: str, program: Program) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            try:
                ask(self._inside(f"{name}.sock"), "status")
                return
            except NotAnswered as away:
                if not program.is_running:
                    raise LabError(f"holdfast {name} ended: {program.read_log()}") from None
                if time.monotonic() > deadline:
                    raise LabError(f"{away}; it said: {program.read_log()}") from None
                time.sleep(POLL_S)

    def _end(self, program: Program, what: str) -> None:
        self._note_left(program.end(), what)

    def _end_agent(self) -> None:
        if self._agent is not None:
            self._end(self._agent, "agent")

    def _note_left(self, left: list[Holder], what: str) -> None:
        if left:
            self.notes.append(f"{len(left)} processes of the {what} did not end by themselves")

    def _inside(self, name: str) -> Path:
        return self.host.path(f"{RUN_FOLDER}/{name}")

    def _remove_folders(self) -> None:
        for folder in (RUN_FOLDER, STATE_FOLDER):
            shutil.rmtree(self.host.path(folder), ignore_errors=True)
