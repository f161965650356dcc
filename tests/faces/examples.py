"""Facts for pages: a small host with VMs in every condition, as its programs would tell of it."""

from msgspec import to_builtins
from msgspec.structs import replace

from holdfast.faces.api.guarantee_shapes import GuaranteeShown, Loss, Unplaced
from holdfast.facts.alarms import (
    Alarm,
    AlarmRecord,
    AlarmState,
    Severity,
    alarm_key,
)
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.instants import Instant
from holdfast.facts.promises import Disarm, Group, Owner, Spread
from holdfast.facts.subjects import Incarnation, vm_subject
from holdfast.facts.verdicts import Certainty
from holdfast.facts.wire import VmSummary

NOW_MS = 1_764_000_000_000  # 2025-11-24 16:00:00 UTC
WEB = "11111111-1111-4111-8111-111111111111"
DB = "22222222-2222-4222-8222-222222222222"

WEB_1 = VmSummary(
    vm=WEB,
    name="web-1",
    state="runs",
    is_running=True,
    is_protected=True,
    pid=4242,
    group="gateways",
    owner="holdfast",
    answer="agent",
    wanted="running",
    watched_by="threads",
    restarts_left=5,
)
DB_1 = VmSummary(
    vm=DB,
    name="db-1",
    state="waits for its next start",
    is_running=False,
    is_protected=True,
    group="default",
    owner="external",
    answer="tcp:5432",
    wanted="running",
    obstacle="its group is recovered by external",
    incident="db-1-2-7c1d",
)
SPARE = VmSummary(
    vm="33333333-3333-4333-8333-333333333333",
    name="spare",
    state="shut off",
    is_running=False,
    is_protected=False,
    obstacle="it is not protected",
)
VMS = (DB_1, SPARE, WEB_1)

CLOSED = Incident(
    id="web-1-1-3f2a",
    vm=WEB,
    name="web-1",
    life=Incarnation(vm=WEB, boot="b1", pid=4000, started_ticks=7),
    group="gateways",
    owner=Owner.HOLDFAST,
    state=IncidentState.CLOSED,
    title="QEMU of web-1 was killed by signal 9",
    fault_at=Instant(1_000_000_000),
    detected_at=Instant(1_000_300_000),
    closed_at=Instant(4_100_000_000),
    recovered_ms=3_100.0,
    level_ms=6_000,
    verified=True,
    fault_utc_ms=NOW_MS - 3_600_000,
)
OPEN = Incident(
    id="db-1-2-7c1d",
    vm=DB,
    name="db-1",
    life=Incarnation(vm=DB, boot="b1", pid=4100, started_ticks=9),
    group="default",
    owner=Owner.EXTERNAL,
    state=IncidentState.OPEN,
    title="The guest kernel of db-1 panicked",
    step="left to its owner, external",
    fault_at=Instant(9_000_000_000),
    detected_at=Instant(9_000_900_000),
    level_ms=25_000,
    needs_you="holdfast vm recover db-1",
    fault_utc_ms=NOW_MS - 65_000,
)
SLOW = replace(
    CLOSED, id="web-1-3-9b9b", recovered_ms=9_400.0, verified=False, fault_utc_ms=NOW_MS - 300_000
)

assert OPEN.life is not None
ALARM = Alarm(
    key=alarm_key(OPEN.life.key, "vm-panicked"),
    condition="vm-panicked",
    revision=1,
    state=AlarmState.RAISED,
    subject=vm_subject(DB, "db-1"),
    host="h",
    boot="b1",
    certainty=Certainty.CERTAIN,
    severity=Severity.CRITICAL,
    text="The guest kernel of db-1 panicked.",
    fault_at=OPEN.fault_at,
    detected_at=OPEN.detected_at,
    incident=OPEN.id,
    repair="Nothing is done: its recovery is owned by external.",
)
RAISED = AlarmRecord(
    alarm=ALARM,
    raised_utc_ms=NOW_MS - 65_000,
    changed_utc_ms=NOW_MS - 65_000,
    fault_utc_ms=NOW_MS - 65_000,
    detected_utc_ms=NOW_MS - 65_000,
    sent_utc_ms=NOW_MS - 65_000,
    arrived_utc_ms=NOW_MS - 64_997,
    fault_to_arrival_ms=3.2,
)
SUSPECTED = replace(
    RAISED,
    alarm=replace(
        ALARM,
        key="k2",
        condition="vm-stuck",
        severity=Severity.MAJOR,
        certainty=Certainty.SUSPECTED,
        subject=vm_subject(WEB, "web-1"),
        text="The guest of web-1 is silent and its vCPU spins.",
    ),
    acknowledged_by="anna",
    acknowledged_utc_ms=NOW_MS - 30_000,
)
CLEARED = replace(
    RAISED,
    alarm=replace(ALARM, key="k3", state=AlarmState.CLEARED, revision=2, text="db-1 serves again."),
    changed_utc_ms=NOW_MS - 10_000,
    cleared_utc_ms=NOW_MS - 10_000,
)
DISARM = Disarm(
    owner="anna",
    reason="disk swap",
    since_utc_ms=NOW_MS - 600_000,
    until_utc_ms=NOW_MS + 3_000_000,
)
GROUPS = (
    Group(name="default"),
    Group(name="gateways", level=1, dump=True, priority=10, spread=Spread.HOST),
    Group(name="vnf", owner=Owner.EXTERNAL, level=2),
)

NO_ROOM = "no host is left to start it on: h2: it has 0 MiB left, and 1024 are needed"
KEPT = GuaranteeShown(
    target=1,
    tolerable=1,
    acting=2,
    hosts=2,
    is_kept=True,
    losses=(
        Loss(hosts=("1",), names=("h1",), vms=3),
        Loss(hosts=("2",), names=("h2",), vms=0),
    ),
)
LOST = GuaranteeShown(
    target=1,
    tolerable=0,
    acting=2,
    hosts=3,
    is_kept=False,
    would_leave=(f"without h1 db-1, web-1, web-2 and 2 more would stay down: {NO_ROOM}",),
    more=1,
    losses=(
        Loss(
            hosts=("1",),
            names=("h1",),
            vms=9,
            stays=tuple(
                Unplaced(
                    vm=name, name=name, reason=NO_ROOM if name != "db-1" else "its disk is here"
                )
                for name in ("db-1", "web-1", "web-2", "web-3", "web-4")
            ),
        ),
        Loss(hosts=("2",), names=("h2",), vms=2),
        Loss(hosts=("3",), names=("h3",), vms=4, inaction="h3 is in report mode"),
    ),
)
PAIRS = GuaranteeShown(
    target=2,
    tolerable=1,
    acting=3,
    hosts=3,
    is_kept=False,
    together=2,
    untried=4,
    losses=(
        Loss(hosts=("1", "2"), names=("h1", "h2"), vms=3),
        Loss(
            hosts=("1", "3"),
            names=("h1", "h3"),
            vms=3,
            stays=(Unplaced(vm="a", name="a", reason=NO_ROOM),),
        ),
    ),
)

AGENT_STATUS = {
    "host": "h-1",
    "host_name": "kvm-7",
    "boot": "b1",
    "is_amnesiac": False,
    "disarm": None,
    "open_incidents": 1,
    "open_alarms": 1,
    "libvirt": "answers",
    "watch_mechanism": "threads",
    "hardware": {
        "disk_health": "2 of 2 disks tell their health",
        "board": "the board is not asked: this host shows no IPMI device",
    },
    "records_lost": {"journal": 0, "outbox": 0},
    "detector_defects": {},
    "unknown_events": 0,
    "vms": to_builtins(list(VMS)),
    "incidents": to_builtins([OPEN]),
}
