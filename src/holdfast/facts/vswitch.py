"""What was seen of the virtual switch and of network links, by the switch itself and the kernel."""

from holdfast.facts.seen import Seen
from holdfast.facts.subjects import Subject, SubjectKind


class SwitchAnswered(Seen, frozen=True, kw_only=True):
    """The switch's database answers: its whole state is read anew, and follows."""

    version: str = ""


class SwitchAway(Seen, frozen=True, kw_only=True):
    """The switch's database closed its connection or refuses one: nothing is seen of it now."""

    reason: str


class InterfaceSeen(Seen, frozen=True, kw_only=True):
    """One interface of one port of a bridge, as the switch has it. Names are the switch's own.

    `link` is up, down, or empty where the switch does not say; `bfd` the state of its BFD session,
    empty where it has none. A port with several `members` is a bond. `is_uplink`: it leads out of
    this host (a physical device, a bond's member, or marked so). `vm`: it belongs to a VM.
    Source: columns of the tables Bridge, Port and Interface (ovs-vswitchd.conf.db(5)).
    """

    bridge: str
    port: str
    interface: str
    kind: str = "system"
    link: str = ""
    error: str = ""
    bfd: str = ""
    bfd_diagnostic: str = ""
    lacp: str = ""
    members: int = 1
    is_uplink: bool = False
    vm: str = ""


class InterfaceGone(Seen, frozen=True, kw_only=True):
    """The switch has it no more. `has_device`: the kernel has it still: it was only taken out."""

    bridge: str
    port: str
    interface: str
    has_device: bool = False


class BridgeGone(Seen, frozen=True, kw_only=True):
    """The switch has this bridge no more."""

    bridge: str


class LinkSeen(Seen, frozen=True, kw_only=True):
    """A network device of the kernel. `has_carrier`: something is at the other end of its cable.

    `is_up`: somebody switched it on. `is_physical`: it is hardware. `errors` are packets that it
    received or sent wrongly, since it is there. Source: rtnetlink (RTM_NEWLINK).
    """

    device: str
    has_carrier: bool
    is_up: bool = True
    state: str = ""
    is_physical: bool = False
    errors: int = 0


class LinkGone(Seen, frozen=True, kw_only=True):
    """The kernel has this device no more."""

    device: str


class FlowsCounted(Seen, frozen=True, kw_only=True):
    """How many flows a bridge has, without those of our canary. Source: OpenFlow, aggregate.

    `recorded`: how many it had when that was last recorded, maybe by an agent before this one.
    """

    bridge: str
    flows: int
    recorded: int = 0


class CanaryCrossed(Seen, frozen=True, kw_only=True):
    """A frame of ours went in at one port of the bridge and came out at another one."""

    bridge: str


class CanaryLost(Seen, frozen=True, kw_only=True):
    """Frames in a row did not come through. `at` is when the first of them was due."""

    bridge: str
    reason: str


Vswitch = (
    SwitchAnswered
    | SwitchAway
    | InterfaceSeen
    | InterfaceGone
    | BridgeGone
    | LinkSeen
    | LinkGone
    | FlowsCounted
    | CanaryCrossed
    | CanaryLost
)


def bridge_subject(bridge: str) -> Subject:
    """A bridge of the switch of this host."""
    words = f"bridge {bridge}"
    return Subject(kind=SubjectKind.PORT, id=words, name=words)


def bridge_of(subject: Subject) -> str:
    """The name of a bridge that is a subject; empty where it is none."""
    head, _, name = subject.id.partition(" ")
    return name if subject.kind is SubjectKind.PORT and head == "bridge" else ""


def port_subject(bridge: str, port: str) -> Subject:
    """A port of a bridge of the switch of this host; also one interface of a bond."""
    words = f"port {port} of bridge {bridge}"
    return Subject(kind=SubjectKind.PORT, id=words, name=words)
