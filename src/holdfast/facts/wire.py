"""What agent, controller and faces say to each other, and how it is written: one codec.

JSON frames, each an object with its name in `is`. Changes only add; an unknown frame is counted
and shown, never acted on. Versions N and N-1 work together.
"""

from typing import Any

import msgspec
from msgspec import Struct

from holdfast.facts.alarms import AlarmReport
from holdfast.facts.definitions import HostSize, VmDefinition, VmDisk
from holdfast.facts.incidents import Incident
from holdfast.facts.promises import Disarm, Group, Protection
from holdfast.facts.tenure import Tenure

VERSION = 1
STARTS_HERE = "starts-here"  # A feature: the agent takes orders to start a VM of another host.
MIGRATES = "migrates"  # A feature: the agent moves VMs while they run, with certificates.
GREET = "greet"  # The question to an agent that it shall say Hello once more, on the same link.


def works_with(version: int) -> bool:
    """Whether one side is at most one version behind the other."""
    return abs(version - VERSION) <= 1


class Frame(Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    pass


class HostPart(Struct, frozen=True, kw_only=True):
    """Something of a host that is watched and may be mended there, as a guarded process. `repairs`
    counts what came of each step that was tried: "restart: mended"."""

    name: str
    state: str = ""
    repairs: dict[str, int] = {}
    handed_over: str = ""  # Why it could not be mended here, as long as that lasts.
    advice: str = ""  # What should be done then: quarantine or drain; empty is as drain.


class VmSummary(Struct, frozen=True, kw_only=True):
    """One VM as the agent sees it. `obstacle` is why it could not be restarted here, or empty."""

    vm: str
    name: str
    state: str
    is_running: bool
    is_protected: bool
    pid: int = 0
    group: str = ""
    owner: str = ""
    answer: str = ""
    wanted: str = ""
    obstacle: str = ""
    watched_by: str = ""
    incident: str = ""
    restarts_left: int | None = None
    memory_mib: int = 0
    generation: int = 0  # Of the tenure that this agent holds; 0: none.
    is_serving: bool = False  # It runs, and no answer of its guest is awaited.
    is_given_up: bool = False  # It does not run, and its agent does nothing more about it.
    elsewhere: str = ""  # Why no other host could start it, or empty.
    starts_elsewhere: bool | None = None  # What a controller makes of all it knows; None: nothing.
    rebuilt: str = ""  # Which disks would be made anew there, and from what; or empty.
    local_disk: str = ""  # Its policy for disks of its host alone.
    disks: tuple[VmDisk, ...] = ()  # Where they are; of protected VMs.
    # What a controller adds, which hears all hosts: whose word this is, and where else it is seen.
    host: str = ""
    host_name: str = ""
    also_runs_on: tuple[str, ...] = ()  # Names of hosts. It must run once only.
    defined_on: tuple[str, ...] = ()  # Names of hosts where nothing but a definition is left.


class Hello(Frame, frozen=True, kw_only=True):
    """An agent greets. `tenures` are its durable copies, so that the store can reconcile."""

    version: int
    host: str
    host_name: str
    boot: str
    state_id: str
    stream: str
    features: tuple[str, ...] = ()
    is_amnesiac: bool = False
    tenures: tuple[Tenure, ...] = ()
    pulse_key: str = ""  # Hex; made by the host itself. Its pulses are signed with it.
    addresses: dict[str, str] = {}  # Of this host, by plane: its answer port is there.
    rack: str = ""
    switch: str = ""
    zone: str = ""
    run: str = ""  # A word of its own for each start of the agent.
    barred: dict[str, int] = {}  # VMs that others hold as far as it knows: the generation, by VM.
    was_planned: bool = False  # The run before this one, in this boot, ended on purpose.


class Welcome(Frame, frozen=True, kw_only=True):
    """The controller answers a greeting with all that this agent needs to know.

    Not `is_complete`: the store is away, or this controller does not lead. What is not named here
    stays as the agent knows it. Protection of a VM ends only if it is in `released`, or if its
    tenure here is another host's or has no boot. `refusal` is why the controller does not talk
    with this agent, or empty.
    """

    version: int
    term: int
    groups: tuple[Group, ...] = ()
    protections: tuple[Protection, ...] = ()
    disarm: Disarm | None = None
    disarm_left_ms: int | None = None  # As the controller measured it, whatever clocks say.
    is_complete: bool = True
    store_id: str = ""  # Terms are compared within one store.
    released: tuple[str, ...] = ()
    refusal: str = ""
    replaces: tuple[str, ...] = ()  # Ids of the stores of which this one is a restored copy.
    host_names: dict[str, str] = {}  # Of other hosts that `protections` name, by their ids.


class Entry(Frame, frozen=True, kw_only=True):
    """One outbox entry: written before it is sent. Identity: (host, stream, sequence)."""

    host: str
    stream: str
    sequence: int
    gap: int = 0  # Entries lost before this one, where known.
    alarm: AlarmReport | None = None
    tenure: Tenure | None = None
    tenure_reason: str = ""
    incident: Incident | None = None


class EntryAnswered(Frame, frozen=True, kw_only=True):
    """The VIM has it. `arrived_utc_ms` is when its receiver had read the whole message."""

    stream: str
    sequence: int
    arrived_utc_ms: int


class Inventory(Frame, frozen=True, kw_only=True):
    """All VMs of the host, sent on greeting and on change."""

    vms: tuple[VmSummary, ...]
    size: HostSize | None = None
    parts: tuple[HostPart, ...] = ()


class Definitions(Frame, frozen=True, kw_only=True):
    """Protected VMs as they are defined now: on greeting all, then those that changed."""

    definitions: tuple[VmDefinition, ...]


class RecorderCopy(Frame, frozen=True, kw_only=True):
    """The newest part of each VM's flight recorder; never stored in the outbox."""

    pieces: dict[str, str]  # VM uuid -> JSON lines


class HostRecords(Frame, frozen=True, kw_only=True):
    """The host's own last records, told each ten seconds: they survive the loss of the host.

    Lines of the log overlap with those told before, and are left out where none is new.
    """

    utc_ms: int
    kernel_log: tuple[str, ...] = ()
    pressure: dict[str, str] = {}  # cpu, memory, io -> the lines of /proc/pressure
    hardware: tuple[str, ...] = ()
    boot: str = ""
    earlier: dict[str, str] = {}  # What firmware kept of an earlier boot's end: name -> text.


class Question(Frame, frozen=True, kw_only=True):
    """A face asks, or a controller commands an agent. `id` pairs it with the reply."""

    id: int
    name: str
    args: dict[str, Any] = {}
    by: str = ""
    term: int = 0
    store_id: str = ""  # In which the term counts; empty: of an older version.


class Reply(Frame, frozen=True, kw_only=True):
    """`error` is a sentence, `hint` what to do about it; `more`: further replies follow."""

    id: int
    data: Any = None
    error: str = ""
    hint: str = ""
    code: int = 0
    more: bool = False


AnyFrame = (
    Hello
    | Welcome
    | Entry
    | EntryAnswered
    | Inventory
    | Definitions
    | RecorderCopy
    | HostRecords
    | Question
    | Reply
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyFrame] = msgspec.json.Decoder(AnyFrame)


class MalformedFrame(ValueError):
    """What arrived is no frame of ours; the text says why."""


def encode(frame: Struct) -> bytes:
    return _encoder.encode(frame)


def decode(raw: bytes | str) -> AnyFrame:
    """Raises MalformedFrame."""
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise MalformedFrame(str(error)) from None
