"""A sample guest on a lab host is started, asked to answer, told to run a program, and ended."""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from holdfast.lab.acceleration import choose_acceleration
from holdfast.lab.commands import LabError
from holdfast.lab.guest_image import DEFAULT_CACHE, build_guest_image
from holdfast.lab.guest_xml import GuestPlan, render_guest_xml
from holdfast.lab.hosts import Host

TALK_PROGRAM = Path(__file__).with_name("guest_talk.py")
ANSWER_LIMIT_S = 60.0


def plan_guest(lab: str, name: str, **choices: Any) -> GuestPlan:
    """Plan a guest whose uuid follows from the lab's and its own name; choices are GuestPlan's."""
    return GuestPlan(
        name=name, uuid=str(uuid5(NAMESPACE_DNS, f"{name}.guest.{lab}.holdfast-lab")), **choices
    )


@dataclass(frozen=True)
class Guest:
    """A sample guest of a lab host. Methods raise LabError with libvirt's own words."""

    host: Host
    plan: GuestPlan

    @classmethod
    def define(cls, host: Host, plan: GuestPlan, cache: Path = DEFAULT_CACHE) -> "Guest":
        """Make the guest known to its host's libvirt; the guest image is built if need be."""
        image = build_guest_image(cache)
        guest = cls(host, plan)
        xml = render_guest_xml(plan, image, choose_acceleration(image, cache))
        place = f"/run/holdfast-guest-{plan.name}.xml"
        host.path(place).write_text(xml)
        guest.virsh("define", place, with_name=False)
        return guest

    @property
    def name(self) -> str:
        """The guest's name in libvirt."""
        return self.plan.name

    def virsh(
        self, verb: str, *arguments: str, with_name: bool = True, timeout_s: float = 30.0
    ) -> str:
        """Run a virsh command on the guest and return what it says."""
        name = [self.name] if with_name else []
        argv = ["virsh", "--quiet", "--connect", "qemu:///system", verb, *name, *arguments]
        return self.host.run(argv, timeout_s=timeout_s).stdout.strip()

    def start(self) -> int:
        """Start the guest; returns the CLOCK_MONOTONIC ns just before."""
        begun_ns = time.monotonic_ns()
        self.virsh("start", timeout_s=120)
        return begun_ns

    def start_and_answer(self) -> "Guest":
        """Start the guest and wait until it answers."""
        self.start()
        self.wait_answer()
        return self

    def wait_answer(self, limit_s: float = ANSWER_LIMIT_S) -> int:
        """Wait until the guest's agent answers; returns the CLOCK_MONOTONIC ns of the answer."""
        return int(self._talk("answer", limit_s)["answered_ns"])

    def execute(self, argv: Sequence[str], limit_s: float = 30.0) -> str:
        """Run a program in the guest to its end; returns its output, raises if it fails."""
        answer = self._talk("execute", limit_s, argv)
        if answer["exit"] != 0:
            raise LabError(f"{self.name}: `{' '.join(argv)}` failed: {answer['output']}")
        return str(answer["output"])

    def begin(self, argv: Sequence[str]) -> int:
        """Start a program that may take the guest down; returns the ns just before."""
        return int(self._talk("begin", 10.0, argv)["asked_ns"])

    def state(self) -> str:
        """What libvirt says of the guest: running, paused, shut off, crashed ..."""
        return self.virsh("domstate")

    def qemu_pid(self) -> int:
        """The machine's pid of the guest's QEMU; raises LabError if there is none."""
        return self.host.read_pid(f"/run/libvirt/qemu/{self.name}.pid")

    def read_console(self) -> str:
        """All that the guest wrote on its serial console."""
        return self.host.path(self.plan.console_log).read_text(errors="replace")

    def end(self) -> None:
        """Destroy the guest if it runs, and make libvirt forget it."""
        if self.state() not in ("shut off", "crashed"):
            self.virsh("destroy")
        self.virsh("undefine", "--managed-save")

    def _talk(self, verb: str, limit_s: float, argv: Sequence[str] = ()) -> dict[str, Any]:
        done = self.host.run(
            [sys.executable, str(TALK_PROGRAM), verb, self.name, str(limit_s), *argv],
            timeout_s=limit_s + 10,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        if "error" in answer:
            raise LabError(f"{self.host.name}, guest {self.name}: {answer['error']}")
        return answer
