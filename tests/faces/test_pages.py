"""Every page reads as its text file says; `make rewrite` accepts what it says now."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.text import Text

from holdfast.faces.api.vm_shapes import DefinedVm
from holdfast.faces.cli.showing import show
from holdfast.faces.cli.status_view import make_view
from holdfast.faces.pages.alarms import alarms_page, catalogue_page, news_line
from holdfast.faces.pages.drills import drill_page
from holdfast.faces.pages.groups import group_page, groups_page
from holdfast.faces.pages.guarantee import guarantee_page, host_lines
from holdfast.faces.pages.host_words import left_words_page
from holdfast.faces.pages.hosts import HostRow, HostView, host_page
from holdfast.faces.pages.incidents import incident_line, incidents_page
from holdfast.faces.pages.status import Delivery, Part, StatusView, status_page, troubles
from holdfast.faces.pages.vms import vm_page, vms_page
from holdfast.facts.alarm_types import AlarmType
from holdfast.facts.alarms import AlarmRecord, EventType, Severity
from holdfast.facts.subjects import Subject, SubjectKind
from holdfast.facts.wire import HostPart
from holdfast.lab.drills.figures import Goal, Result, Spread
from tests.faces import examples as known
from tests.faces.examples import NOW_MS

GOLDEN = Path(__file__).with_name("pages")
PARTS = (
    Part(name="controller", is_well=True, said="runs"),
    Part(name="agent", is_well=True, said="runs"),
    Part(name="libvirt", is_well=True, said="answers"),
)
WELL = StatusView(
    host_name="kvm-7",
    parts=PARTS,
    deliveries=(Delivery(name="VIM", answered_utc_ms=NOW_MS - 4_000), Delivery(name="webhook noc")),
    report_p99_ms=12.3,
    vms=(known.WEB_1, known.SPARE),
)
ILL = replace(
    WELL,
    parts=(PARTS[0], PARTS[1], Part(name="libvirt", is_well=False, said="does not answer")),
    deliveries=(
        Delivery(name="VIM", answered_utc_ms=NOW_MS - 4_000),
        Delivery(
            name="webhook noc", is_well=False, reason="connection refused", backlog=12, gaps=1
        ),
    ),
    report_p99_ms=2_300.0,
    vms=known.VMS,
    incidents=(known.OPEN,),
    open_alarms=2,
    warnings=("3 records of the journal were lost: No space left on device",),
)

PUSHED = AlarmType(
    id="vm-gone",
    title="The VM's QEMU process is gone",
    subject=SubjectKind.VM,
    event_type=EventType.PROCESSING,
    severity=Severity.CRITICAL,
    probable_cause="SOFTWARE_PROGRAM_ABNORMALLY_TERMINATED",
    means="QEMU crashed.",
    clears="When the VM runs again.",
    repair="virsh start NAME.",
    covers=("H6",),
)

SAMPLE: dict[str, Any] = {
    "is": "Sample",
    "at": 1_000_000_000,
    "utc_ms": NOW_MS,
    "cpu_ms": 0,
    "rss_kib": 524_288,
    "read_bytes": 0,
    "written_bytes": 0,
    "net_in_bytes": 0,
    "net_out_bytes": 0,
}


def told_of(subject: Subject) -> AlarmRecord:
    alarm = known.RAISED.alarm
    return replace(
        known.RAISED, alarm=replace(alarm, key=subject.id, subject=subject, host="kvm-7")
    )


def caused_by(root: str) -> AlarmRecord:
    alarm = replace(known.SUSPECTED.alarm, root=root, key=f"vm/{len(root)}:vm-on-lost-host")
    return replace(known.SUSPECTED, alarm=alarm)


def seen_and_changed() -> AlarmRecord:
    """What it says since then is news again."""
    return replace(known.SUSPECTED, changed_utc_ms=NOW_MS - 10_000)


LOST_HOST: dict[str, Any] = {
    "host": "host-a",
    "host_name": "kvm-7",
    "is_up": False,
    "boot": "boot-1",
    "kernel_log": ["[12.000000] br0: port 2(vnet3) entered blocking state", "[13.5] nvme0: gone"],
    "hardware": ["[11.000000] EDAC MC0: 1 CE memory read error on DIMM_A1"],
    "pressure": [
        {
            "utc_ms": NOW_MS - 10_000,
            "said": {
                "cpu": "some avg10=12.50 total=1\nfull avg10=0.00 total=0",
                "memory": "some avg10=99.00 total=1\nfull avg10=88.10 total=1",
            },
        },
        {"utc_ms": NOW_MS, "said": None},
    ],
    "earlier": {"dmesg-erst-1": "Kernel panic - not syncing\x1b[31m"},
    "vms": [
        {
            "vm": "vm-1",
            "name": "web-1",
            "told_utc_ms": NOW_MS - 4_000,
            "samples": [SAMPLE, {**SAMPLE, "at": 2_000_000_000, "cpu_ms": 250}],
            "notes": [{"is": "Noted", "at": 1, "utc_ms": 1, "kind": "qmp", "text": "STOP {}"}],
            "console": "one\ntwo\n",
        },
        {"vm": "vm-2", "name": "web-2", "told_utc_ms": 0},
    ],
    "vms_left_out": 3,
}
SILENT_HOST = {"host": "host-b", "host_name": "kvm-8", "is_up": True, "vms": []}

OF_A_SITE = (
    replace(known.WEB_1, starts_elsewhere=True, host_name="h1", defined_on=("h4", "h5")),
    *(
        replace(
            known.WEB_1,
            host_name="h5",
            name=f"web-{n}",
            starts_elsewhere=False,
            elsewhere="h2 is in report mode",
        )
        for n in (2, 3, 4, 5)
    ),
    replace(known.DB_1, starts_elsewhere=False, elsewhere="its disk a.img is on this host alone"),
    known.SPARE,
)
TWICE = replace(known.WEB_1, host_name="h1", also_runs_on=("h4",))
DRAINED = HostView(
    host=HostRow(host="id-4", host_name="h4", is_up=True, is_drained=True, said="serves"),
    only_defined=tuple(
        DefinedVm(vm=f"vm-{n}", name=f"web-{n}", host_name=f"h{n}") for n in (1, 2, 3, 5)
    ),
)

MENDING = HostView(
    host=HostRow(
        host="id-5",
        host_name="h5",
        is_up=True,
        said="serves",
        parts=(
            HostPart(name="libvirt", repairs={"restart: mended": 2, "restart: not verified": 1}),
            HostPart(
                name="nova-compute",
                state="does not run: nova-compute.service failed (exit-code)",
                repairs={"restart: failed": 2},
                handed_over="nova-compute is gone: exit code 1",
            ),
            HostPart(name="virtlogd", state="runs as process 77"),
        ),
    )
)

PAGES: dict[str, Callable[[], Iterator[Any]]] = {
    "status_when_all_is_well": lambda: status_page(WELL, NOW_MS),
    "status_when_disarmed": lambda: status_page(replace(WELL, disarm=known.DISARM), NOW_MS),
    "status_when_much_is_wrong": lambda: status_page(ILL, NOW_MS),
    "status_of_many_vms": lambda: status_page(
        replace(
            WELL,
            vms=(*[replace(known.WEB_1, name=f"web-{n}") for n in range(1, 40)], known.DB_1),
            incidents=(known.OPEN,),
        ),
        NOW_MS,
    ),
    "status_of_the_agent_alone": lambda: status_page(
        make_view(None, known.AGENT_STATUS, "no controller runs here"), NOW_MS
    ),
    "status_of_an_empty_host": lambda: status_page(
        StatusView(host_name="kvm-7", parts=PARTS), NOW_MS
    ),
    "vms": lambda: vms_page(known.VMS),
    "vms_when_there_is_none": lambda: vms_page(()),
    "vm_protected": lambda: vm_page(known.WEB_1, (known.CLOSED, known.SLOW), NOW_MS),
    "vm_not_protected": lambda: vm_page(known.SPARE, (), NOW_MS),
    "vm_failed": lambda: vm_page(known.DB_1, (known.OPEN,), NOW_MS),
    "groups": lambda: groups_page(known.GROUPS, known.VMS),
    "vms_of_a_site": lambda: vms_page(OF_A_SITE),
    "vm_of_a_site": lambda: vm_page(OF_A_SITE[0], (), NOW_MS),
    "vms_of_which_one_runs_twice": lambda: vms_page((TWICE,)),
    "host_that_is_drained": lambda: host_page(DRAINED, NOW_MS),
    "host_that_mends_itself": lambda: host_page(MENDING, NOW_MS),
    "host_with_vms": lambda: host_page(
        replace(
            DRAINED,
            host=replace(DRAINED.host, mode="act", dump_wait_s=120),
            vms=(OF_A_SITE[0],),
            only_defined=(),
        ),
        NOW_MS,
    ),
    "guarantee_that_holds": lambda: guarantee_page(known.KEPT),
    "guarantee_that_is_lost": lambda: guarantee_page(known.LOST),
    "guarantee_of_pairs": lambda: guarantee_page(known.PAIRS),
    "host_that_would_leave_vms_down": lambda: host_lines(known.LOST.losses[0]),
    "host_that_nobody_acts_on": lambda: host_lines(known.LOST.losses[2]),
    "host_that_could_not_be_fenced_now": lambda: host_lines(
        replace(known.KEPT.losses[0], hindered="h1 could not be switched off now: fence_a: no")
    ),
    "guarantee_that_cannot_be_kept_now": lambda: guarantee_page(
        replace(
            known.LOST,
            hindered=("h2 could not be switched off now: no",),
            losses=(
                known.LOST.losses[0],
                replace(known.LOST.losses[1], hindered="h2 could not be switched off now: no"),
            ),
        )
    ),
    "group": lambda: group_page(known.GROUPS[1], (known.WEB_1,)),
    "alarms": lambda: alarms_page((known.CLEARED, known.RAISED, known.SUSPECTED), NOW_MS),
    "alarms_with_a_cause": lambda: alarms_page(
        (
            known.CLEARED,
            known.RAISED,
            caused_by(known.RAISED.alarm.key),
            caused_by(known.CLEARED.alarm.key),
            caused_by("h/b1:host-lost"),
        ),
        NOW_MS,
    ),
    "alarms_of_what_every_host_has": lambda: alarms_page(
        (
            told_of(Subject(kind=SubjectKind.PROCESS, id="libvirt", name="libvirt")),
            told_of(Subject(kind=SubjectKind.HOLDFAST, id="h-7", name="the agent of kvm-7")),
        ),
        NOW_MS,
    ),
    "alarms_when_there_is_none": lambda: alarms_page((), NOW_MS),
    "alarms_as_they_come": lambda: iter(
        news_line(one, NOW_MS)
        for one in (known.RAISED, known.SUSPECTED, seen_and_changed(), known.CLEARED)
    ),
    "catalogue": lambda: catalogue_page((PUSHED, replace(PUSHED, pushed=False, period_s=12))),
    "last_words_of_a_host": lambda: left_words_page({"host_words": LOST_HOST}),
    "last_words_of_a_host_never_heard": lambda: left_words_page({"host_words": SILENT_HOST}),
    "last_words_of_a_vm_whose_host_is_away": lambda: left_words_page(
        {"vm_copy": {**LOST_HOST["vms"][0], "host_name": "kvm-7"}}
    ),
    "incidents": lambda: incidents_page((known.CLOSED, known.SLOW, known.OPEN), NOW_MS),
    "incidents_when_there_was_none": lambda: incidents_page((), NOW_MS),
    "incidents_as_they_come": lambda: iter(
        incident_line(one, NOW_MS) for one in (known.OPEN, known.CLOSED)
    ),
    "drill": lambda: drill_page(
        Result(
            drill="vm-killed",
            runs=20,
            lost=0,
            false_alarms=1,
            fault_to_vim_ms=Spread(p50=2.1, p99=4.5, max=4.5),
            goals=(
                Goal(what="killed to VIM, p50", limit=10, measured=2.1),
                Goal(what="faster than libvirt", limit=10, unit="x", at_least=True, measured=8.0),
            ),
            notes=("vm-stuck: a false alarm",),
        )
    ),
    "drill_of_a_lost_host": lambda: drill_page(
        Result(
            drill="host-power-cut",
            runs=3,
            lost=0,
            false_alarms=0,
            fault_to_vim_ms=Spread(p50=185, p99=217, max=217),
            confirmed_ms=Spread(p50=4_800, p99=5_100, max=5_100),
            fault_to_answering_ms=Spread(p50=9_700, p99=11_200, max=11_200),
            ran_twice=0,
            vms_stopped=1,
            peers={"plain_start_ms": Spread(p50=4_600, p99=5_900, max=5_900)},
            figures={"fence_agent_ms": Spread(p50=1_000, p99=1_100, max=1_100), "vms": 2},
        )
    ),
}

# Lines that a terminal wraps by itself, so that they can be cut and pasted, and found with grep.
FLOWING = {"catalogue", "alarms_as_they_come", "incidents_as_they_come"}


def rendered(page: Iterator[Any]) -> str:
    """As it is printed into a file: plain, a hundred columns."""
    out = io.StringIO()
    show(page, out)
    return out.getvalue()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_reads_as_its_file_says(name: str, rewrite: bool) -> None:
    path = GOLDEN / f"{name}.txt"
    text = rendered(PAGES[name]())
    if rewrite:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def test_no_file_is_left_of_a_page_that_is_gone() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_plain_and_not_wider_than_a_terminal(name: str) -> None:
    text = rendered(PAGES[name]())
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())
    if name not in FLOWING:
        assert max(map(len, text.splitlines())) <= 100


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_long_line_is_broken_between_words_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    line = Text("web-1 is back: its guest agent answers, 4.3 s after the fault")
    terminal, file = Terminal(), io.StringIO()
    show([line], terminal)
    show([line], file)
    assert terminal.getvalue().splitlines() == [
        "web-1 is back: its guest agent answers,",
        "4.3 s after the fault",
    ]
    assert file.getvalue() == f"{line.plain}\n"


def test_trouble_is_told_worst_first() -> None:
    assert troubles(WELL) == []
    first, *rest = troubles(ILL)
    assert first == "incident db-1-2-7c1d: The guest kernel of db-1 panicked"
    assert "libvirt does not answer" in rest
    assert "reporting is slow: p99 2.3 s" in rest


def test_messages_that_a_receiver_refused_are_a_trouble() -> None:
    view = StatusView(host_name="h1", deliveries=(Delivery(name="webhook noc", parked=2),))
    assert troubles(view) == [
        "webhook noc refused 2 messages: they are kept in its outbox's refused.jsonl"
    ]
