"""What each command asks, prints and ends with."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec import to_builtins

from holdfast.faces.cli.main import COMMANDS, CRASH_PREFIX, CRASHES_KEPT
from holdfast.facts.catalogue import CATALOGUE
from tests.faces import examples as known
from tests.faces.conftest import Run
from tests.faces.programs_that_answer import answering

VMS = to_builtins(list(known.VMS))
WELL: dict[str, Any] = {**known.AGENT_STATUS, "incidents": [], "open_alarms": 0}


def test_status_of_a_well_host_is_zero(run: Run, run_dir: Path) -> None:
    with (
        answering(run_dir, "agent", {"status": WELL}),
        answering(run_dir, "controller", {"status": {"incidents": []}}),
    ):
        ran = run("status")
    assert ran.code == 0
    assert ran.out.startswith("kvm-7: everything is well")


def test_status_with_an_open_incident_is_one(run: Run, run_dir: Path) -> None:
    with (
        answering(run_dir, "agent", {"status": known.AGENT_STATUS}),
        answering(run_dir, "controller", {"status": {}, "incidents": to_builtins([known.OPEN])}),
    ):
        ran = run("status", "--json")
    told = json.loads(ran.out)
    assert (ran.code, told["is_well"]) == (1, False)
    assert told["troubles"] == ["incident db-1-2-7c1d: The guest kernel of db-1 panicked"]
    assert told["incidents"][0]["needs_you"] == "holdfast vm recover db-1"


def test_status_works_without_a_controller_and_says_so(run: Run, run_dir: Path) -> None:
    with answering(run_dir, "agent", {"status": WELL}):
        ran = run("status")
    assert ran.code == 1
    assert "no controller runs here: this is what the agent of this host knows" in ran.err
    assert "What to do: sudo holdfast controller" in ran.out


@pytest.mark.slow
def test_protect_tells_what_is_promised_and_the_first_obstacle(run: Run, run_dir: Path) -> None:
    with answering(run_dir, "controller", {"vms": VMS, "protect": {}}) as fake:
        fine = run("vm", "protect", "web-1", "--group", "gateways", "--answers", "tcp:80")
        blocked = run("vm", "protect", "db-1")
    asked = [question for question in fake.asked if question.name == "protect"]
    assert asked[0].args == {"vm": known.WEB, "group": "gateways", "answer": "tcp:80"}
    assert fine.out == (
        "web-1 is protected: group gateways, owner holdfast\n"
        "it answers by: agent\nit can be restarted here\n"
    )
    said = "but it could not be restarted here: its group is recovered by external"
    assert said in blocked.out


def test_unprotect_and_recover_name_the_vm_by_its_uuid(run: Run, run_dir: Path) -> None:
    with answering(run_dir, "controller", {"vms": VMS, "unprotect": {}, "recover": {}}) as fake:
        assert "no longer protected" in run("vm", "unprotect", "web-1").out
        assert "begins anew" in run("vm", "recover", known.WEB).out
    asked = [(one.name, one.args) for one in fake.asked if one.name != "vms"]
    assert asked == [("unprotect", {"vm": known.WEB}), ("recover", {"vm": known.WEB})]


def test_group_set_tells_only_what_was_given(run: Run, run_dir: Path) -> None:
    with answering(run_dir, "controller", {"group-set": {}, "group-forget": {}}) as fake:
        run("group", "set", "vnf", "--owner", "external", "--level", "2", "--no-dump")
        run("group", "set", "vnf", "--priority", "-5", "--spread", "rack", "--admit", "refuse")
        run("group", "forget", "vnf")
    assert fake.asked[0].args == {"name": "vnf", "owner": "external", "level": 2, "dump": False}
    apart = {"name": "vnf", "priority": -5, "spread": "rack", "admit": "refuse"}
    assert fake.asked[1].args == apart
    assert fake.asked[2].args == {"name": "vnf"}


def test_alarms_of_the_agent_are_shown_though_only_the_vim_knows_all(
    run: Run, run_dir: Path
) -> None:
    bare = {**to_builtins(known.ALARM), "fault_utc_ms": known.NOW_MS}
    with answering(run_dir, "agent", {"alarms": [bare]}):
        ran = run("alarms")
    assert "The guest kernel of db-1 panicked." in ran.out


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("port 80 of 10.0.0.5 accepts connections", "and it does so now: port 80 of 10.0.0.5"),
        ("", "but it does not answer that way now: after a restart"),
        (None, ""),
    ],
)
def test_protect_says_whether_it_answers_that_way_now(
    found: str | None, said: str, run: Run, run_dir: Path
) -> None:
    table = {"vms": VMS, "protect": {"answers_now": found}}
    with answering(run_dir, "controller", table):
        ran = run("vm", "protect", "web-1", "--answers", "agent")
    assert ran.code == 0
    assert said in ran.out
    assert ("holdfast vm protect web-1 --answers HOW" in ran.out) is (found == "")
    assert ("now" in ran.out) is (found is not None)


def test_an_alarm_is_acknowledged_by_its_number_name_or_key(run: Run, run_dir: Path) -> None:
    alarms = to_builtins([known.RAISED, known.SUSPECTED])
    table = {"alarms": alarms, "acknowledge": to_builtins(known.RAISED)}
    with answering(run_dir, "controller", table) as fake:
        run("alarms", "ack", "2")
        run("alarms", "ack", known.RAISED.alarm.key)
        ran = run("alarms", "ack", known.RAISED.alarm.subject.name)
    keys = [one.args["key"] for one in fake.asked if one.name == "acknowledge"]
    assert keys == [known.SUSPECTED.alarm.key, *[known.RAISED.alarm.key] * 2]
    assert ran.out == "acknowledged: vm-panicked of db-1\n"


def test_a_name_with_two_alarms_needs_a_number(run: Run, run_dir: Path) -> None:
    alarms = to_builtins([known.RAISED, known.RAISED])
    with answering(run_dir, "controller", {"alarms": alarms}):
        ran = run("alarms", "ack", known.RAISED.alarm.subject.name)
    assert (ran.code, ran.err.splitlines()[0]) == (2, "holdfast: db-1 has 2 open alarms")


def test_the_catalogue_needs_no_program(run: Run) -> None:
    ran = run("alarms", "--catalogue", "--json")
    rows = json.loads(ran.out)["alarm_types"]
    assert [row["id"] for row in rows] == [row.id for row in CATALOGUE]


def test_settle_asks_for_the_incident(run: Run, run_dir: Path) -> None:
    table = {"incidents": to_builtins([known.CLOSED, known.OPEN]), "settle": {}}
    with answering(run_dir, "controller", table) as fake:
        ran = run("settle", "db-1-2-7c1d")
    assert ran.out == "incident db-1-2-7c1d of db-1 is settled\n"
    assert fake.asked[-1].args == {"incident": "db-1-2-7c1d"}


def test_arm_tells_who_had_disarmed(run: Run, run_dir: Path) -> None:
    with answering(run_dir, "controller", {"arm": {"was": to_builtins(known.DISARM)}}):
        told = run("arm")
    with answering(run_dir, "controller", {"arm": {"was": None}}):
        nothing = run("arm")
    assert "anna had switched it off: disk swap" in told.out
    assert nothing.out == "recovery is on; it was on already\n"


def follow(environment: dict[str, str], *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "holdfast.faces.cli.main", "alarms", "--follow", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        preexec_fn=hear_interrupts,  # noqa: PLW1509  This test has no threads yet.
    )


def hear_interrupts() -> None:
    """Whoever started the tests in the background had Ctrl-C ignored for all of us."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_alarms_are_followed_through_a_restart_of_the_controller(run_dir: Path) -> None:
    process = follow({"PYTHONUNBUFFERED": "1"})
    assert process.stdout is not None
    raised = {"alarms": to_builtins([known.RAISED])}
    try:
        with answering(run_dir, "controller", raised) as fake:
            first = [process.stdout.readline()]
            fake.tell(known.CLEARED)
            first.append(process.stdout.readline())
        both = {"alarms": to_builtins([known.RAISED, known.SUSPECTED])}
        with answering(run_dir, "controller", both):
            again = process.stdout.readline()
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert "critical  db-1  The guest kernel of db-1 panicked." in first[0]
    assert "cleared  db-1  db-1 serves again." in first[1]
    assert "web-1" in again, "what was told before is not told twice"
    assert process.returncode == 130
    assert "Traceback" not in err


def host_row(name: str, **more: Any) -> dict[str, Any]:
    row = {"host": f"id-{name}", "host_name": name, "is_up": True, "planes": ["a", "b"]}
    return {**row, "planes_heard": ["a", "b"], "said": "pulses", "vms": 1, **more}


def test_status_of_a_site_shows_its_hosts_and_controllers(run: Run, run_dir: Path) -> None:
    lost = {"said": "is silent: suspected to be lost", "care": "bad", "planes_heard": []}
    hosts = [host_row("h1"), host_row("h2"), host_row("h3", is_up=False, **lost)]
    controllers = {"h1": "here", "h2": "up", "h3": "does not answer"}
    status = {
        "store": "answers",
        "leader": "h2",
        "controllers": controllers,
        "hosts": hosts,
        "incidents": [],
    }
    with answering(run_dir, "controller", {"status": status, "hosts": hosts}):
        ran = run("status")
        listed = run("host", "list")
    assert ran.code == 1
    assert "h1, h2 leads, h3 is away (does not answer)" in ran.out
    assert re.search(r"h3 +away +1 +silent on a, b +is silent: suspected to be lost", ran.out)
    assert re.search(r"h1 +here +1 +on 2 planes +pulses", listed.out)


def test_one_host_is_shown_with_its_alarms_and_vms(run: Run, run_dir: Path) -> None:
    shown = {
        "host": host_row("h1", faults=["host-plane-lost"], planes_heard=["a"]),
        "vms": to_builtins([known.WEB_1]),
        "alarms": to_builtins([known.RAISED]),
    }
    with answering(run_dir, "controller", {"host": shown}) as fake:
        ran = run("host", "show", "h1")
    assert fake.asked[-1].args == {"host": "h1"}
    for said in ("Plane b  it is silent", "host-plane-lost", "web-1", known.RAISED.alarm.text):
        assert said in ran.out


def test_events_and_changes_are_told_line_by_line(run: Run, run_dir: Path) -> None:
    event = {"number": 7, "utc_ms": known.NOW_MS, "kind": "host", "text": "h2 is here"}
    gap = {"first": 3, "last": 6, "reason": "they are not kept any more"}
    change = {
        "id": "1",
        "utc_ms": known.NOW_MS,
        "who": "anna",
        "role": "administer",
        "origin": "this host",
        "what": "disarm",
        "args": {"reason": "x"},
        "outcome": "refused",
        "reason": "no",
    }
    table = {
        "events": {"events": [event], "gap": gap, "next": "ab.7"},
        "audit": {"changes": [change]},
    }
    with answering(run_dir, "controller", table):
        told, none = run("events", "--after", "ab.2"), run("events", "--kind", "alarm")
        audit = run("audit")
    assert "h2 is here" in told.out
    assert "events 3 to 6 are missing" in told.err
    assert none.out == ""
    assert re.search(r"anna +administer +this host +switch recovery off \(x\) +refused", audit.out)


def test_a_token_is_printed_alone_so_that_it_can_be_kept(run: Run, run_dir: Path) -> None:
    made = {"token": "holdfast.graf.secret", "name": "graf"}
    with answering(run_dir, "controller", {"api-token-create": made}) as fake:
        ran = run("token", "create", "graf", "--role", "see", "--for", "30d")
    assert ran.out == "holdfast.graf.secret\n"
    assert fake.asked[-1].args == {"name": "graf", "role": "see", "seconds": 2_592_000.0}


def test_disarm_is_told_flat_whoever_answers(run: Run, run_dir: Path) -> None:
    disarm = to_builtins(known.DISARM)
    with answering(run_dir, "controller", {"disarm": {"disarm": disarm, "told": ["h1"]}}):
        told = json.loads(run("disarm", "--reason", "x", "--json").out)
    with answering(run_dir, "agent", {"disarm": disarm}):
        alone = json.loads(run("disarm", "--reason", "x", "--json").out)
    assert told == {"disarm": disarm, "told": ["h1"], "from": "controller"}
    assert alone == {"disarm": disarm, "from": "agent"}


def test_a_lab_that_is_not_there_is_away_and_not_refused(run: Run) -> None:
    name = "no-such-lab"
    assert run("lab", "status", "--name", name).code == 3
    assert run("lab", "exec", "--name", name, "h9", "true").code == 3


def test_help_of_every_command_is_had_and_short(run: Run) -> None:
    for name in COMMANDS:
        ran = run(name, "--help")
        assert ran.code == 0, name
        assert ran.out.startswith(f"Usage: holdfast {name}"), name


def test_help_imports_no_command() -> None:
    program = (
        "import sys; from holdfast.faces.cli.main import run; run(['--help']);"
        "print([m for m in sys.modules if m.split('.')[0] in ('rich', 'websockets', 'libvirt')])"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout
    assert out.splitlines()[-1] == "[]"


def crash(run_dir: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    with answering(run_dir, "controller", {"arm": 7}):
        return subprocess.run(
            [sys.executable, "-m", "holdfast.faces.cli.main", "arm", "--json"],
            capture_output=True,
            text=True,
            env={**os.environ, "TMPDIR": str(folder)},
        )


def test_a_crash_is_kept_in_a_file_and_not_shown(run_dir: Path, tmp_path: Path) -> None:
    done = crash(run_dir, tmp_path)
    assert done.returncode == 5
    assert "Traceback" not in done.stderr
    [file] = tmp_path.glob("holdfast-crash-*.txt")
    assert str(file) in done.stderr
    assert "Traceback" in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_output_that_nobody_reads_on_is_no_error(run_dir: Path) -> None:
    program = [sys.executable, "-m", "holdfast.faces.cli.main", "alarms", "--catalogue"]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(20) == 0


def test_status_starts_fast_enough_to_be_typed_often(run_dir: Path) -> None:
    """Judged by what it imports, not by the clock: nothing heavy beyond tables."""
    program = (
        "import sys; from holdfast.faces.cli.main import run; run(['status', '--json']);"
        "heavy = ('asyncio', 'aiohttp', 'libvirt', 'holdfast.agent', 'holdfast.controller');"
        "print([name for name in heavy if name in sys.modules])"
    )
    with answering(run_dir, "agent", {"status": WELL}):
        began = time.monotonic()
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert time.monotonic() - began < 20


def test_only_the_newest_crashes_are_kept(run_dir: Path, tmp_path: Path) -> None:
    for number in range(2 * CRASHES_KEPT):
        path = tmp_path / f"{CRASH_PREFIX}{number}.txt"
        path.touch()
        os.utime(path, (number, number))
    (tmp_path / "holdfast-notes.txt").touch()
    crash(run_dir, tmp_path)
    kept = {path.name for path in tmp_path.glob(f"{CRASH_PREFIX}*.txt")}
    assert len(kept) == CRASHES_KEPT
    assert f"{CRASH_PREFIX}{2 * CRASHES_KEPT - 1}.txt" in kept
    assert f"{CRASH_PREFIX}0.txt" not in kept
    assert (tmp_path / "holdfast-notes.txt").exists()
