"""What a VM, and a group of VMs, has been promised: who recovers it, and how it answers."""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from holdfast.facts.tenure import Tenure


class Owner(StrEnum):
    """Who recovers the VMs of a group."""

    HOLDFAST = "holdfast"
    EXTERNAL = "external"  # Report only: somebody above, say a VNF manager, acts.
    NOBODY = "nobody"


class AnswerKind(StrEnum):
    AGENT = "agent"
    TCP = "tcp"
    CONSOLE = "console"
    RUNNING = "running"
    # The guest agent; running, *not verified*, is enough where it never answered.
    DEFAULT = "default"


class Answer(Struct, frozen=True, kw_only=True):
    """How a VM shows that it serves: `agent`, `tcp:PORT`, `console:TEXT`, `running:SECONDS`.

    `value` is the port (or ADDRESS:PORT), the text, or the seconds; empty for agent and default.
    """

    kind: AnswerKind = AnswerKind.DEFAULT
    value: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}" if self.value else str(self.kind)


def parse_answer(text: str) -> Answer:
    """The inverse of str(answer). Raises ValueError with a sentence that says what is allowed."""
    word, _, value = text.partition(":")
    allowed = "agent, tcp:PORT, tcp:ADDRESS:PORT, console:TEXT, running:SECONDS or default"
    try:
        kind = AnswerKind(word)
    except ValueError:
        raise ValueError(f"{text!r} is not a way to answer; use {allowed}") from None
    plain = kind in (AnswerKind.AGENT, AnswerKind.DEFAULT)
    if plain != (not value):
        raise ValueError(f"{text!r} is not a way to answer; use {allowed}")
    if kind is AnswerKind.TCP and not _is_port(value.rpartition(":")[2]):
        raise ValueError(f"{text!r} does not end in a port from 1 to 65535")
    if kind is AnswerKind.RUNNING and not (value.isdigit() and int(value) <= 3_600):
        raise ValueError(f"{text!r} does not end in seconds from 0 to 3600")
    return Answer(kind=kind, value=value)


def _is_port(text: str) -> bool:
    return text.isdigit() and 0 < int(text) < 65_536


class Spread(StrEnum):
    """What the VMs of a group must not share."""

    NONE = "none"
    HOST = "host"
    RACK = "rack"


class Zones(StrEnum):
    """Where the VMs of a group may start elsewhere."""

    SAME = "same"  # In the zone of the host that they were on.
    ANY = "any"


class Admission(StrEnum):
    """What is done about a VM that is to be protected, and could not start elsewhere."""

    WARN = "warn"
    REFUSE = "refuse"


class LocalDisk(StrEnum):
    """What becomes of a VM with disks on local storage when its host is proven dead."""

    KEEP = "keep"  # It waits for its host.
    REBUILD = "rebuild"  # It starts elsewhere, with new disks from images: its data is lost.
    ALARM = "alarm"  # It is told of; what becomes of it, a person decides.


class Group(Struct, frozen=True, kw_only=True):
    """A named set of VMs that share an owner of recovery and a service level.

    `level` 1 to 3 are the service levels of docs/REQUIREMENTS.md. `restarts` may happen in
    `restarts_window_s` before the VM is handed over with the reason. `dump` asks for a memory
    dump of a guest that panicked or is stuck. Of VMs that start elsewhere those of a higher
    `priority` come first; `spread` keeps them apart, and `zones` together. `admit` is about VMs
    that could not. With `lease` they rely on the lease of their host, and end when it runs out.
    that could not. `local_disk` and `images` (by disk) are for VMs that say nothing of their own.
    """

    name: str
    owner: Owner = Owner.HOLDFAST
    level: int = 3
    restarts: int = 5
    restarts_window_s: int = 600
    dump: bool = False
    priority: int = 0
    spread: Spread = Spread.NONE
    zones: Zones = Zones.SAME
    admit: Admission = Admission.WARN
    lease: bool = False
    local_disk: LocalDisk = LocalDisk.KEEP
    images: dict[str, str] = {}


GROUP_BOUNDS = {
    "level": (1, 3),
    "restarts": (0, 1_000),
    "restarts_window_s": (1, 604_800),
    "priority": (-100, 100),
}


def group_problem(values: Mapping[str, object]) -> str:
    """A sentence about the first number, or image, of a group that does not fit, or empty."""
    for key, (least, most) in GROUP_BOUNDS.items():
        value = values.get(key, least)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            return f"{key} must be from {least} to {most}, not {value!r}"
    return images_problem(values.get("images", {}))


def images_problem(images: object) -> str:
    """A sentence about the first image by disk that does not fit, or empty."""
    if not isinstance(images, dict):
        return "images must name a file for each disk, such as vda"
    for disk, image in images.items():
        is_name = isinstance(disk, str) and disk.isalnum()
        if not is_name or not isinstance(image, str) or not image.startswith("/"):
            return f"an image is DISK=FILE, with the whole path of the file, not {disk}={image}"
    return ""


DEFAULT_GROUP = Group(name="default")


class Protection(Struct, frozen=True, kw_only=True):
    """One protected VM as the store and the agent's durable copy hold it.

    `local_disk` and `images` (by disk) are its own; None, or no image: its group's.
    """

    vm: str
    name: str
    group: str
    answer: Answer
    tenure: Tenure
    local_disk: LocalDisk | None = None
    images: dict[str, str] = {}


DISARM_S = 3_600
LONGEST_DISARM_S = 24 * 3_600


def disarm_seconds(value: object) -> float:
    """How long a person wants it to last; nothing said: an hour. Raises ValueError."""
    if value is None or value == "":
        return DISARM_S
    try:
        lasts_s = float(value) if isinstance(value, int | float | str) else 0.0
    except ValueError:
        lasts_s = 0.0
    if isinstance(value, bool) or not 1 <= lasts_s <= LONGEST_DISARM_S:
        raise ValueError("a disarm lasts from 1 s to 24 h")
    return lasts_s


class Disarm(Struct, frozen=True, kw_only=True):
    """Recovery is switched off by a person, for a reason, until an end. UTC milliseconds."""

    owner: str
    reason: str
    since_utc_ms: int
    until_utc_ms: int
    told_on: str = ""  # The place, if a person told an agent itself and not the controller.

    def left_ms(self, utc_ms: int) -> int:
        """Never more than it was to last: a clock that is set back prolongs it by no more."""
        return max(0, min(self.until_utc_ms - utc_ms, self.until_utc_ms - self.since_utc_ms))
