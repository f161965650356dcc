"""The catalogue's rows on the virtual switch of a host, and the networks of its VMs."""

from holdfast.facts.alarm_types import AlarmType
from holdfast.facts.alarms import EventType, Severity
from holdfast.facts.subjects import SubjectKind

_PORT = SubjectKind.PORT
_ONCE = "A host whose settings say so (repair, in [vswitch]) tries that itself first."

VSWITCH: tuple[AlarmType, ...] = (
    AlarmType(
        id="vswitch-uplink-lost",
        title="A bridge of the virtual switch lost its uplink",
        subject=_PORT,
        event_type=EventType.COMMUNICATIONS,
        severity=Severity.CRITICAL,
        probable_cause="LOSS_OF_SIGNAL",
        means="No device that leads out of the host by this bridge has a carrier, or it was taken"
        " out of the bridge. The host is degraded: it lives, and its VMs reach nothing there.",
        clears="When an uplink has had a carrier for 1 s, or the bridge has none any more.",
        reported="within 50 ms of the carrier's loss; 10 s where it never had one.",
        repair="Switch it on, where it is switched off; else look at its cable, its transceiver"
        " and its port of the switch outside; on the host: ip link, ovs-vsctl show."
        f" {_ONCE}",
        covers=("H5", "H18"),
    ),
    AlarmType(
        id="vswitch-port-missing",
        title="Ports are missing from a bridge of the virtual switch",
        subject=_PORT,
        event_type=EventType.COMMUNICATIONS,
        severity=Severity.MAJOR,
        probable_cause="CONFIGURATION_OR_CUSTOMIZATION_ERROR",
        means="The switch has a port no more whose device is still there: who uses it is cut off."
        " A VM that stops takes its device along, and is none of this.",
        clears="When each port is in a bridge again, or its device is gone too.",
        repair="Put it back as it was: ovs-vsctl add-port BRIDGE PORT, with its tag. Then find out"
        f" who took it out: ovsdb-tool -mm show-log. {_ONCE}",
        covers=("H5", "H18"),
    ),
    AlarmType(
        id="vswitch-flows-lost",
        title="A bridge of the virtual switch lost its flows, or carries nothing",
        subject=_PORT,
        event_type=EventType.COMMUNICATIONS,
        severity=Severity.CRITICAL,
        probable_cause="CORRUPT_DATA",
        means="More than half of the bridge's flows went at once, as when its daemon was restarted"
        " or somebody deleted them; or a frame that should cross it does not come out.",
        clears="When there are more than half of them again and frames cross it, for 1 s.",
        repair="Have whoever made the flows make them again (in OpenStack: restart its Open"
        f" vSwitch agent there). {_ONCE}",
        covers=("H5", "H18"),
    ),
    AlarmType(
        id="vswitch-interface-error",
        title="The virtual switch cannot use an interface",
        subject=_PORT,
        event_type=EventType.COMMUNICATIONS,
        severity=Severity.MAJOR,
        probable_cause="COMMUNICATIONS_SUBSYSTEM_FAILURE",
        means="The switch says so in OVSDB, and why: mostly its device is not there.",
        clears="When the switch has had nothing against it for 1 s, or the port is taken out.",
        reported="within a second; 10 s for a VM's, whose device goes before its port does.",
        repair="ovs-vsctl show names the reason. Bring its device back, or take the port out.",
        covers=("H5", "H18"),
    ),
    AlarmType(
        id="bfd-down",
        title="A path is lost: its BFD session is down",
        subject=_PORT,
        event_type=EventType.COMMUNICATIONS,
        severity=Severity.MAJOR,
        probable_cause="LOSS_OF_REDUNDANCY",
        means="The link may have a carrier, and nothing comes through, or the other end is gone.",
        clears="When the session has been up for 2 s, or is configured no more.",
        reported="within a second of BFD's own verdict (three of its intervals); 10 s where it has"
        " never been up.",
        repair="Look at the path and at the other end: ovs-appctl bfd/show.",
        covers=("H5", "H18"),
    ),
    AlarmType(
        id="bond-member-lost",
        title="A bond of the virtual switch lost a member",
        subject=_PORT,
        event_type=EventType.COMMUNICATIONS,
        severity=Severity.MAJOR,
        probable_cause="LOSS_OF_REDUNDANCY",
        means="One of its devices has no carrier, or LACP hears nobody on it. The others carry on:"
        " one more failure, and the bridge loses its uplink.",
        clears="When every member has worked for 2 s.",
        reported="within 50 ms of a carrier's loss; 10 s where it never had one.",
        repair="Look at the cable and port of that member: ovs-appctl bond/show.",
        covers=("H5", "H18"),
    ),
)
