"""What a controller hears of hosts: pulses, their absence, and what others say. Never a judgement.

`at` and every other instant are those of the controller that heard it: the ear counts from when
the kernel received a datagram, not from when it was read.
"""

from enum import StrEnum

from holdfast.facts.instants import Instant
from holdfast.facts.layers import Layer as Layer  # noqa: PLC0414
from holdfast.facts.layers import LayerState as LayerState  # noqa: PLC0414
from holdfast.facts.layers import Plan as Plan  # noqa: PLC0414
from holdfast.facts.seen import Seen


class HostExpected(Seen, frozen=True, kw_only=True):
    """A host pulsed to this controller, or its agent greeted it: its pulse should come, on these
    planes. One that only the store names is not expected: its pulse may not know of us yet.

    `boot` is the last one known of it, or empty. `is_here`: this controller runs on it, so that
    its pulses say nothing about the network.
    """

    host: str
    name: str
    boot: str = ""
    planes: tuple[str, ...] = ()
    is_here: bool = False


class HostForgotten(Seen, frozen=True, kw_only=True):
    """It left the site: nobody expects it any more."""

    host: str


class PlaneHeard(Seen, frozen=True, kw_only=True):
    """The first pulse of a host on a plane: since the ear began, since a silence, or in a boot."""

    host: str
    plane: str
    boot: str


class PlaneSilent(Seen, frozen=True, kw_only=True):
    """`missed` periods have passed on this plane since the last pulse was received.

    `newest_other` is when the newest pulse of any other host came, on any plane, those of the
    controller's own host apart; None: the ear does not say. It tells whose silence this is.
    """

    host: str
    plane: str
    boot: str
    last_heard: Instant
    missed: int
    newest_other: Instant | None = None


class PulseSaid(Seen, frozen=True, kw_only=True):
    """The health word or the plan in a host's pulse changed (or was heard first)."""

    host: str
    boot: str
    layers: dict[Layer, LayerState]
    plan: Plan = Plan.NONE
    plan_limit_ms: int = 0


class BootsCrossed(Seen, frozen=True, kw_only=True):
    """Two boots of one host id pulse at the same time: a cloned host, or a stolen key.

    Said again at least every ten seconds while that goes on.
    """

    host: str
    boots: tuple[str, str]
    senders: tuple[str, str] = ("", "")


class PulsesRefused(Seen, frozen=True, kw_only=True):
    """Datagrams in a known host's name were not believed: `count` since it was said last.

    `reason` is a word of facts/pulse.py or of the ear: wrong key, repeated, wrong plane.
    """

    host: str
    plane: str
    reason: str
    sender: str
    count: int


class LastGasp(Seen, frozen=True, kw_only=True):
    """A host's kernel said that it panics (netconsole). Unsigned: it only explains a silence."""

    host: str
    text: str


class Dump(StrEnum):
    """Whether a host's crash kernel writes a dump, as far as that was heard."""

    NONE = ""
    WRITTEN = "is being written"
    OVER = "is written, or given up"  # Nothing more is said of it.


class DumpSeen(Seen, frozen=True, kw_only=True):
    """A host's crash kernel said that it writes a dump (fence_kdump). Unsigned, as a last gasp."""

    host: str


class LinkChanged(Seen, frozen=True, kw_only=True):
    """The link of a host's agent came up, or broke off. `run` is another after each start of it;
    `was_planned`: the run before this one ended on purpose."""

    host: str
    boot: str
    is_up: bool
    run: str = ""
    was_planned: bool = False


class EarDoubted(Seen, frozen=True, kw_only=True):
    """The ear, or the controller, was slow: what it believes of silences must be heard anew."""

    late_ms: float
    reason: str


class EarTrusted(Seen, frozen=True, kw_only=True):
    """It keeps time again, and has read all that waited in its sockets."""


class EarBegan(Seen, frozen=True, kw_only=True):
    """An ear listens, and has heard nobody yet: what the one before it heard is long ago."""


class WitnessKind(StrEnum):
    PROBE = "probe"  # This controller asked the host's own answer port.
    AGENT = "agent"  # The agent of another host asked it.
    CONTROLLER = "controller"  # Another controller says whether it hears the host's pulses.


class Sign(StrEnum):
    """What came back from a host. `kernel`: nobody listens, and its kernel says so: it lives."""

    PULSE = "pulse"
    KERNEL = "kernel"
    NOTHING = "nothing"
    UNKNOWN = "unknown"  # The witness did not answer in time.


class WitnessSpoke(Seen, frozen=True, kw_only=True):
    """Somebody was asked whether a host shows a sign of life on a plane (empty: on any)."""

    host: str
    kind: WitnessKind
    witness: str
    plane: str
    sign: Sign


Hearing = (
    HostExpected
    | HostForgotten
    | PlaneHeard
    | PlaneSilent
    | PulseSaid
    | BootsCrossed
    | PulsesRefused
    | LastGasp
    | DumpSeen
    | LinkChanged
    | EarDoubted
    | EarTrusted
    | EarBegan
    | WitnessSpoke
)
