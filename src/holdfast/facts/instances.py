"""VMs that Holdfast makes itself: a group's template, how many are promised, and each one made."""

from enum import StrEnum

from msgspec import Struct


class Template(Struct, frozen=True, kw_only=True):
    """What the VMs of a group are made of: libvirt's XML, and an image for each disk.

    `count` of them are promised. `next_number` names the next one; no number is ever used twice.
    """

    group: str
    xml: str
    count: int
    images: dict[str, str] = {}
    next_number: int = 1
    set_by: str = ""


class InstanceStep(StrEnum):
    PLACED = "placed"  # Its host holds its tenure, and is told to make and start it.
    RUNS = "runs"  # It has run: from here on it is protected as any other VM.
    TAKEN_BACK = "taken back"  # That host could not, and is shown to hold nothing of it.
    LEAVING = "leaving"  # Somebody wants it gone: it is ended, and shown to be.


class Instance(Struct, frozen=True, kw_only=True):
    """One VM that was made from a template. `generation` is that of the tenure that `host` got;
    `reason` why it is where it is; `given_up_utc_ms` when hosts could not bring it back."""

    vm: str
    name: str
    group: str
    number: int
    host: str
    generation: int
    step: InstanceStep
    reason: str = ""
    given_up_utc_ms: tuple[int, ...] = ()
