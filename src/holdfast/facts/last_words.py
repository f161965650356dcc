"""What is kept of a VM's last moments: samples each second, and the bundle at its death."""

from msgspec import Struct

from holdfast.facts.instants import Instant


class Sample(Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """One second of a VM. Counters are totals since its start, in the unit of their name.

    Source: /proc/PID/{stat,statm,io} of QEMU and the counters of its taps; block counters are
    those of the whole process, not of each disk.
    """

    at: Instant
    utc_ms: int
    cpu_ms: int
    rss_kib: int
    read_bytes: int
    written_bytes: int
    net_in_bytes: int
    net_out_bytes: int
    state: str = ""


class Noted(Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """A line of the flight recorder that is not a sample: an event, or a piece of console."""

    at: Instant
    utc_ms: int
    kind: str
    text: str


class Bundle(Struct, frozen=True, kw_only=True):
    """The index of one bundle: bundle.json beside its files. Owner-only readable."""

    incident: str
    vm: str
    name: str
    host: str
    boot: str
    title: str
    cause: str
    captured_utc_ms: int
    took_ms: float
    fault_utc_ms: int
    files: dict[str, int]  # name -> size in bytes
    missing: dict[str, str]  # what could not be had -> why
    samples: tuple[Sample, ...] = ()
    notes: tuple[Noted, ...] = ()
