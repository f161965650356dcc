"""What a sensor saw. An observation is never a judgement, and an event is only a hint."""

from typing import Any

import msgspec

from holdfast.facts.hardware import HardwareSeen
from holdfast.facts.hearing import Hearing
from holdfast.facts.instants import Instant
from holdfast.facts.seen import Seen
from holdfast.facts.subjects import Incarnation
from holdfast.facts.vswitch import Vswitch


class VmAppeared(Seen, frozen=True, kw_only=True):
    """A QEMU process of a VM was found. `found` is true when it ran before we looked."""

    incarnation: Incarnation
    name: str
    found: bool = False


class VmRenamed(Seen, frozen=True, kw_only=True):
    vm: str
    name: str


class QemuThreadEnded(Seen, frozen=True, kw_only=True):
    """A permanent thread of QEMU ended; first sign of the end of the process.

    `status` is as wait(2) gives it (signal in the low 7 bits, exit code above bit 8); None when
    the kernel cannot tell. Source: pidfd of the thread, or the process connector.
    """

    incarnation: Incarnation
    tid: int
    thread: str
    status: int | None
    source: str


class QemuProcessGone(Seen, frozen=True, kw_only=True):
    """The whole process is gone: its memory is freed. Last sign. Source: its pidfd."""

    incarnation: Incarnation
    status: int | None = None


class CoreDumpBegan(Seen, frozen=True, kw_only=True):
    """The kernel writes QEMU's core: its threads stay silent until that is done."""

    incarnation: Incarnation
    signal: int = 0


class LifecycleSeen(Seen, frozen=True, kw_only=True):
    """libvirt's lifecycle event, by libvirt's own names in lower case (stopped, failed)."""

    vm: str
    event: str
    detail: str


class QmpEventSeen(Seen, frozen=True, kw_only=True):
    """An event of QEMU's monitor, through libvirt. `data` is its JSON text, `{}` if none."""

    vm: str
    event: str
    data: str = "{}"

    def details(self) -> dict[str, Any]:
        """The event's data; empty where it is not the JSON object that it should be."""
        try:
            return msgspec.json.decode(self.data, type=dict[str, Any])
        except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
            return {}


class DomainStateRead(Seen, frozen=True, kw_only=True):
    """libvirt was asked for a VM's state after a gap. Names as in `virsh domstate --reason`."""

    vm: str
    state: str
    reason: str


class QemuLogRead(Seen, frozen=True, kw_only=True):
    """What QEMU's log says of the end: libvirt's `reason=` word, and QEMU's last line."""

    incarnation: Incarnation
    reason: str = ""
    last_line: str = ""


class VmFoundGone(Seen, frozen=True, kw_only=True):
    """After a gap (agent away), a VM that ran at `last_seen` has no process any more. Of an earlier
    boot that is before this one began, by wall clocks."""

    incarnation: Incarnation
    name: str
    last_seen: Instant
    same_boot: bool = True


class AgentAnswered(Seen, frozen=True, kw_only=True):
    """The guest's agent answered a ping."""

    incarnation: Incarnation


class AgentSilent(Seen, frozen=True, kw_only=True):
    """The guest's agent did not answer a ping in time although its channel is open."""

    incarnation: Incarnation


class AgentLeft(Seen, frozen=True, kw_only=True):
    """The guest closed the agent's channel (service stopped): it is not judged by it."""

    incarnation: Incarnation


class VcpusMeasured(Seen, frozen=True, kw_only=True):
    """How the vCPU threads fared since the last measurement. Source: /proc/PID/task/TID/schedstat.

    `ran_ms` on a CPU, `waited_ms` runnable without one, `turns` times it was put on a CPU, each
    summed over the vCPUs; `window_ms` is the wall time.
    """

    incarnation: Incarnation
    window_ms: float
    vcpus: int
    ran_ms: float
    waited_ms: float
    turns: int
    is_stopped: bool = False  # QEMU itself is stopped (state T in /proc): somebody froze it.
    is_paused: bool = False  # libvirt says paused: nobody expects it to run.


class LibvirtGone(Seen, frozen=True, kw_only=True):
    """libvirt closed the connection, or refuses it.

    `is_orderly`: somebody stopped it, as an upgrade does; it is about to be started again.
    """

    reason: str
    is_orderly: bool = False


class LibvirtSilent(Seen, frozen=True, kw_only=True):
    """libvirt has the connection open and does not answer; `since` its last answer.

    `daemon` is what its process does, or empty; `is_stopped`: nobody lets it run (SIGSTOP).
    """

    since: Instant
    daemon: str = ""
    is_stopped: bool = False


class LibvirtAnswered(Seen, frozen=True, kw_only=True):
    """libvirt answers (again). After a gap everything is read anew."""

    after_gap: bool = False


class CallTimedOut(Seen, frozen=True, kw_only=True):
    """A call to libvirt overran its deadline and its worker was killed."""

    call: str
    vm: str = ""


class ProcessRan(Seen, frozen=True, kw_only=True):
    """A guarded process was found running. `found`: it ran before we looked. Where it `has_probe`,
    whether it serves is said apart."""

    process: str
    pid: int
    started_ticks: int
    found: bool = False
    has_probe: bool = False


class ProcessEnded(Seen, frozen=True, kw_only=True):
    """A guarded process ended, with its status of wait(2) where the kernel tells. Source: pidfd."""

    process: str
    pid: int
    status: int | None = None


class ProcessWord(Seen, frozen=True, kw_only=True):
    """What is said of a guarded process that does not run, by its service manager or its end mark:
    `on purpose`, `starting`, `failed`, or `absent` (it is just not there)."""

    process: str
    state: str
    reason: str


class ProcessSilent(Seen, frozen=True, kw_only=True):
    """Two things show that a guarded process runs and does not serve: `why` names both."""

    process: str
    pid: int
    started_ticks: int
    since: Instant
    why: str
    is_stopped: bool = False  # Nobody lets it run: the kernel's own word.


class ProcessAnswered(Seen, frozen=True, kw_only=True):
    """It serves (again), or is let run again where it has no probe."""

    process: str
    pid: int


class ReportTimed(Seen, frozen=True, kw_only=True):
    """One alarm's way: from the fault to the VIM's answer."""

    fault_to_answer_ms: float


class PieceLost(Seen, frozen=True, kw_only=True):
    """Something could not be written or read back: a journal, an outbox, a recorder."""

    what: str
    count: int
    reason: str


class UnknownSeen(Seen, frozen=True, kw_only=True):
    """Something that no detector knows. It is counted and shown, and never acted on."""

    what: str


Observation = (
    VmAppeared
    | VmRenamed
    | QemuThreadEnded
    | QemuProcessGone
    | CoreDumpBegan
    | LifecycleSeen
    | QmpEventSeen
    | DomainStateRead
    | QemuLogRead
    | VmFoundGone
    | AgentAnswered
    | AgentSilent
    | AgentLeft
    | VcpusMeasured
    | LibvirtGone
    | LibvirtSilent
    | LibvirtAnswered
    | CallTimedOut
    | ProcessRan
    | ProcessEnded
    | ProcessWord
    | ProcessSilent
    | ProcessAnswered
    | ReportTimed
    | PieceLost
    | UnknownSeen
    | Hearing
    | HardwareSeen
    | Vswitch
)
