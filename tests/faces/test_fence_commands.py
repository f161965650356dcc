"""What `holdfast fence`, `host mode` and `host confirm-dead` ask, print and end with."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec import to_builtins
from msgspec.structs import replace

from holdfast.facts import wire
from tests.faces import examples as known
from tests.faces.conftest import Ran, Run
from tests.faces.programs_that_answer import answering
from tests.faces.test_commands import host_row
from tests.faces.test_completion import complete

SECRET = "Zo3Pk9-hidden"
DEVICE: dict[str, Any] = {
    "agent": "fence_ipmilan",
    "options": {"username": "holdfast", "ip": "10.0.9.4"},
    "secrets": ["password"],
    "deadline_s": 40,
    "said": "on",
    "is_well": True,
}
BAD = {**DEVICE, "agent": "fence_redfish", "said": "login failed", "is_well": False}


def row(name: str, *devices: dict[str, Any], mode: str = "report", **more: Any) -> dict[str, Any]:
    return {"host": f"id-{name}", "host_name": name, "mode": mode, "devices": devices, **more}


WELL = row("h1", DEVICE, mode="act", is_fenceable=True, rehearsed_utc_ms=known.NOW_MS)
ILL = row("h2", BAD, DEVICE | {"is_well": None, "said": ""}, mode="act", why_not="login failed")
BARE = row("h3", why_not="it has no fence device")


def spawn(words: tuple[str, ...], **more: Any) -> "subprocess.Popen[bytes]":
    program = [sys.executable, "-m", "holdfast.faces.cli.main", *words]
    return subprocess.Popen(program, start_new_session=True, **more)


def piped(given: str, *words: str) -> Ran:
    """As in a script: standard input is a pipe."""
    process = spawn(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(given.encode(), timeout=60)
    return Ran(process.returncode, out.decode(), err.decode())


def typed(answer: str, prompt: str, *words: str) -> Ran:
    """As on a terminal: what is typed when `prompt` is there, and all that the screen shows."""
    master, slave = pty.openpty()
    process = spawn(words, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    screen, deadline, is_typed = b"", time.monotonic() + 60, False
    try:
        while time.monotonic() < deadline:
            try:
                screen += os.read(master, 4_096)
            except OSError:
                break  # The program ended.
            if not is_typed and prompt.encode() in screen:
                os.write(master, f"{answer}\n".encode())
                is_typed = True
        code = process.wait(20)
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert is_typed, screen
    return Ran(code, screen.decode().replace("\r\n", "\n"), "")


SET = ("fence", "set", "h1", "fence_ipmilan", "--option", "ip=10.0.9.4")


@pytest.mark.slow
def test_a_secret_that_is_asked_for_is_not_shown(run_dir: Path) -> None:
    with answering(run_dir, "controller", {"fence-set": row("h1", DEVICE)}) as fake:
        ran = typed(SECRET, "password: ", *SET, "--secret", "password")
    assert ran.code == 0, ran.out
    assert SECRET not in ran.out
    assert fake.asked[-1].args == {
        "host": "h1",
        "agent": "fence_ipmilan",
        "options": {"ip": "10.0.9.4"},
        "secrets": {"password": SECRET},
    }
    device = "fence_ipmilan (ip=10.0.9.4, username=holdfast, password=...)"
    assert f"h1: device 1 is {device}" in ran.out
    assert "try it, which harms nothing: holdfast fence rehearse h1" in ran.out
    assert "to let it act: holdfast host mode h1 act" in ran.out


@pytest.mark.slow
def test_secrets_come_from_standard_input_line_by_line(run_dir: Path) -> None:
    lines = f"password={SECRET}=x\n\nsnmp_passwd= with spaces \n"
    with answering(run_dir, "controller", {"fence-set": row("h1", DEVICE)}) as fake:
        ran = piped(lines, *SET, "--secrets-from", "-", "--level", "1", "--deadline", "1m")
        wrong = piped(f"{SECRET}\n", *SET, "--secrets-from", "-")
    assert ran.code == 0, ran.err
    [asked] = fake.asked
    assert asked.args["secrets"] == {"password": f"{SECRET}=x", "snmp_passwd": " with spaces "}
    assert asked.args["deadline_s"] == 60
    assert (wrong.code, "line 1 of the secrets is not NAME=VALUE" in wrong.err) == (2, True)
    assert SECRET not in ran.out + ran.err + wrong.out + wrong.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--option", f"passwd={SECRET}"), "passwd is a secret: others can read a command line"),
        (("--option", "ip"), "'ip' is no option"),
        (("--secret", "password"), "nobody can be asked for password here"),
        (("--deadline", "soon"), "'soon' is no duration"),
    ],
)
def test_what_cannot_be_set_is_asked_of_nobody(
    run: Run, run_dir: Path, words: tuple[str, ...], said: str
) -> None:
    with answering(run_dir, "controller", {"fence-set": WELL}) as fake:
        ran = run(*SET, *words)
    assert ran.code == 2
    assert ran.err.startswith(f"holdfast: {said}")
    assert SECRET not in ran.out + ran.err
    assert fake.asked == []


def test_the_list_shows_each_device_and_what_helps(run: Run, run_dir: Path) -> None:
    with answering(run_dir, "controller", {"fence-list": [WELL, ILL, BARE]}):
        ran, told = run("fence", "list"), json.loads(run("fence", "list", "--json").out)
    assert told["hosts"] == json.loads(json.dumps([WELL, ILL, BARE]))
    assert re.search(r"h1 +act +yes .+ 1 fence_ipmilan +on +ip=10.0.9.4,", ran.out)
    assert re.search(r"h2 +act +no .+ 1 fence_redfish +login failed +ip=", ran.out)
    assert re.search(r"\n +2 fence_ipmilan +not asked yet +ip=", ran.out)
    assert re.search(r"h3 +report +no +- +- +-", ran.out)
    assert "password=..." in ran.out
    assert "h2 could not be fenced if it died now: login failed" in ran.out
    assert "mend it, then: holdfast fence rehearse h2" in ran.out


def test_a_rehearsal_tells_each_device_and_ends_with_one_where_none_worked(
    run: Run, run_dir: Path
) -> None:
    with answering(run_dir, "controller", {"fence-rehearse": {"hosts": [WELL]}}) as fake:
        well = run("fence", "rehearse", "h1")
    assert fake.asked[-1].args == {"host": "h1"}
    assert (well.code, well.out) == (0, "h1 could be fenced now\n  1 fence_ipmilan: on\n")
    both = {"hosts": [WELL, ILL]}
    with answering(run_dir, "controller", {"fence-rehearse": both}) as fake:
        ill = run("fence", "rehearse")
        plain = run("fence", "rehearse", "--json")
    assert fake.asked[-1].args == {}
    assert (ill.code, plain.code) == (1, 1)
    assert "h2 could not be fenced now\n  1 fence_redfish: login failed" in ill.out


def test_a_slow_device_is_waited_for_and_what_is_not_known_is_no_success(
    run: Run, run_dir: Path
) -> None:
    """`fence rehearse h4 && host mode h4 act` must not pass a device that does not answer."""
    found = iter([{"hosts": [], "under_way": ["h1"]}] * 2 + [{"hosts": [WELL], "under_way": []}])
    with answering(run_dir, "controller", {"fence-rehearse": lambda _: next(found)}) as fake:
        ran = run("fence", "rehearse", "h1")
    assert [one.args for one in fake.asked] == [{"host": "h1"}] * 3
    assert (ran.code, ran.out) == (0, "h1 could be fenced now\n  1 fence_ipmilan: on\n")
    assert "waiting for the fence devices of h1" in ran.err
    found = iter([{"hosts": [], "under_way": ["h2"]}, {"hosts": [ILL]}])
    with answering(run_dir, "controller", {"fence-rehearse": lambda _: next(found)}):
        ran = run("fence", "rehearse", "h2")
    assert (ran.code, "h2 could not be fenced now" in ran.out) == (1, True)


def test_devices_are_cleared_one_or_all(run: Run, run_dir: Path) -> None:
    warning = "h1 was in mode act: from now on it is only reported"
    table = {"fence-clear": {**row("h1"), "warning": warning}}
    with answering(run_dir, "controller", table) as fake:
        ran = run("fence", "clear", "h1")
        run("fence", "clear", "h1", "--level", "2")
    assert [one.args.get("level", "all") for one in fake.asked] == ["all", 2]
    assert ran.out == "h1 has no fence device now\n"
    assert warning in ran.err


@pytest.mark.parametrize(
    ("mode", "was", "said"),
    [
        ("act", "report", "Holdfast acts when h1 dies: it is switched off, and its VMs start"),
        ("report", "act", "Holdfast only reports when h1 dies: a person acts\n"),
        ("report", "report", "a person acts; so it was already"),
    ],
)
def test_a_mode_is_said_in_words(run: Run, run_dir: Path, mode: str, was: str, said: str) -> None:
    data = {**WELL, "mode": mode, "was": was, "warning": ""}
    with answering(run_dir, "controller", {"host-mode": data}) as fake:
        ran = run("host", "mode", "h1", mode)
    assert fake.asked[-1].args == {"host": "h1", "mode": mode}
    assert said in ran.out
    assert "but" not in ran.out


@pytest.mark.parametrize(
    ("wait_s", "said"),
    [
        (120, "when the kernel of h1 panics, it has 2 min to write its dump"),
        (0, "when the kernel of h1 panics, its dump is not waited for"),
    ],
)
def test_a_wait_for_a_dump_is_said(run: Run, run_dir: Path, wait_s: int, said: str) -> None:
    data = {**WELL, "mode": "act", "was": "act", "warning": "", "dump_wait_s": wait_s}
    with answering(run_dir, "controller", {"host-mode": data}) as fake:
        ran = run("host", "mode", "h1", "act", "--dump-wait", f"{wait_s}s" if wait_s else "0s")
    assert fake.asked[-1].args["dump_wait_s"] == wait_s
    assert said in ran.out
    assert "already" not in ran.out


def test_a_mode_that_could_not_be_kept_now_names_what_helps(run: Run, run_dir: Path) -> None:
    data = {**ILL, "was": "report", "warning": "its fence devices have not been rehearsed yet"}
    with answering(run_dir, "controller", {"host-mode": data}):
        ran = run("host", "mode", "h2", "act")
        wrong = run("host", "mode", "h2", "kill")
    assert ran.code == 0
    assert "could not be switched off now: its fence devices have not been rehearsed" in ran.out
    assert "holdfast fence rehearse h2" in ran.out
    assert wrong.code == 2


DEAD: dict[str, Any] = {
    "host": "id-h4",
    "host_name": "h4",
    "lives": [],
    "signs": ["plane a: last pulse 9 min ago", "its agent: link broke off 9 min ago"],
    "vms": [
        {"vm": "1", "name": "web-1", "stays": ""},
        {"vm": "2", "name": "db-1", "stays": "its disk is on h4 alone"},
    ],
    "hindered": "",
}
CONFIRM = ("host", "confirm-dead", "h4", "--because", "it burned")


def dead(**more: Any) -> Any:
    """Answers the question first, and then the word."""
    told = {**DEAD, **more}

    def answer(asked: wire.Question) -> dict[str, Any]:
        return {**told, "fence": {"number": 1}} if asked.args.get("confirmed") else told

    return {"host-confirm-dead": answer}


@pytest.mark.slow
def test_who_says_that_a_host_is_dead_sees_its_signs_first_and_types_its_name(
    run_dir: Path,
) -> None:
    prompt = "Type h4 if you are sure that it is dead"
    with answering(run_dir, "controller", dead()) as fake:
        ran = typed("h4", prompt, *CONFIRM)
    assert ran.code == 0, ran.out
    first, second = fake.asked
    assert first.args == {"host": "h4"}
    assert second.args == {"host": "h4", "confirmed": "h4", "because": "it burned"}
    shown = ran.out.partition(prompt)[0]
    for said in (*DEAD["signs"], "web-1 starts on another host", "db-1 stays down: its disk"):
        assert said in shown
    assert "h4 counts as dead, on your word; 1 VM starts elsewhere" in ran.out
    with answering(run_dir, "controller", dead()) as fake:
        wrong = typed("h5", prompt, *CONFIRM)
    assert (wrong.code, "that is not its name: nothing was done" in wrong.out) == (4, True)
    assert len(fake.asked) == 1


def test_a_script_gives_the_name_and_json_alone_only_looks(run: Run, run_dir: Path) -> None:
    with answering(run_dir, "controller", dead(hindered="nothing starts until holdfast arm")) as f:
        nobody = run(*CONFIRM)
        looked = run(*CONFIRM, "--json")
        assert [one.args for one in f.asked] == [{"host": "h4"}] * 2
        done = run(*CONFIRM, "--yes-it-is-dead", "h4")
        plain = run(*CONFIRM, "--yes-it-is-dead", "h4", "--json")
    assert (nobody.code, "--yes-it-is-dead h4" in nobody.err) == (2, True)
    assert (looked.code, "fence" in json.loads(looked.out)) == (0, False)
    assert json.loads(plain.out)["fence"] == {"number": 1}
    assert "1 VM starts elsewhere, once recovery is on again" in done.out
    assert run("host", "confirm-dead", "h4", "--yes-it-is-dead", "h4").code == 2, "without a reason"


def test_a_power_off_that_had_to_be_ended_is_told_to_whoever_confirms(
    run: Run, run_dir: Path
) -> None:
    ended = "it was being switched off; that was ended: look that its power stays off"
    with answering(run_dir, "controller", dead(power=ended)):
        done = run(*CONFIRM, "--yes-it-is-dead", "h4")
    assert ended in done.out


def test_a_host_that_lives_is_not_asked_about_further(run: Run, run_dir: Path) -> None:
    lives = ["its pulses arrive at this controller"]
    with answering(run_dir, "controller", dead(lives=lives)) as fake:
        ran = run(*CONFIRM, "--yes-it-is-dead", "h4")
    assert ran.code == 4
    assert "h4 shows a sign of life: its pulses arrive at this controller" in ran.err
    assert "nothing was done; switch it off first" in ran.err
    assert len(fake.asked) == 1


def ask_status(run: Run, run_dir: Path, *hosts: dict[str, Any]) -> tuple[Ran, Ran]:
    status = {
        "store": "answers",
        "leader": "h1",
        "hosts": hosts,
        "incidents": [],
        "fencing": {"acting": 1, "fenceable": 0},
    }
    with (
        answering(run_dir, "agent", {"status": {**known.AGENT_STATUS, "incidents": []}}),
        answering(run_dir, "controller", {"status": status, "hosts": hosts}),
    ):
        return run("status"), run("host", "list")


def test_status_and_the_list_of_hosts_show_modes_and_who_cannot_be_fenced(
    run: Run, run_dir: Path
) -> None:
    able = {"mode": "act", "is_fenceable": True, "fence_devices": ["fence_ipmilan"]}
    not_able = {**able, "is_fenceable": False, "why_not_fenceable": "login failed"}
    plain, listed = ask_status(run, run_dir, host_row("h1"), host_row("h2"))
    assert "fencing     on no host: one that dies is reported, and a person acts" in plain.out
    assert "MODE" not in listed.out
    plain, listed = ask_status(run, run_dir, host_row("h1", **able), host_row("h2"))
    assert "on 1 of 2 hosts; each could be switched off now" in plain.out
    assert re.search(r"h1 .* act +pulses", listed.out)
    assert re.search(r"h2 .* report +pulses", listed.out)
    plain, listed = ask_status(run, run_dir, host_row("h1", **not_able), host_row("h2", **able))
    assert plain.code == 1
    assert "fencing could not switch off h1 now: login failed" in plain.out
    assert "see to its fence device, then: holdfast fence rehearse h1" in plain.out
    assert re.search(r"h1 .* act, not fenceable +pulses", listed.out)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "not possible now: it has no fence device; what helps: holdfast fence set h1"),
        (
            {"mode": "act", "is_fenceable": True, "fence_devices": ["fence_a", "fence_b"]},
            "possible now, by fence_a, fence_b",
        ),
        (
            {"mode": "act", "why_not_fenceable": "login failed", "fence_devices": ["fence_a"]},
            "not possible now: login failed; what helps: holdfast fence rehearse h1",
        ),
    ],
)
def test_one_host_says_what_becomes_of_it(
    run: Run, run_dir: Path, more: dict[str, Any], said: str
) -> None:
    with answering(run_dir, "controller", {"host": {"host": host_row("h1", **more)}}):
        ran = run("host", "show", "h1")
    assert said in " ".join(ran.out.split())
    mode = more.get("mode", "report")
    does = "it is switched off" if mode == "act" else "nothing is done to it"
    assert f"Mode     {mode}: when it dies {does}" in ran.out


def test_hosts_and_agents_are_completed_and_near_names_given(run: Run, run_dir: Path) -> None:
    with answering(run_dir, "controller", {"hosts": [host_row("h1"), host_row("k2")]}):
        assert complete("holdfast fence rehearse", "k") == ["k2"]
        assert complete("holdfast host mode", "h") == ["h1"]
        assert complete("holdfast host confirm-dead", "h") == ["h1"]
    assert "fence_ipmilan" in complete("holdfast fence set h1", "fence_ip")
    assert complete("holdfast fence", "re") == ["rehearse"]
    wrong = run("fence", "rehears", "h1")
    assert (wrong.code, "did you mean rehearse" in wrong.err) == (2, True)


def test_a_vm_that_no_other_host_could_start_says_why(run: Run, run_dir: Path) -> None:
    tied = to_builtins(replace(known.WEB_1, elsewhere="its disk vda is a file of this host"))
    with answering(run_dir, "controller", {"vms": [tied], "incidents": []}):
        ran = run("vm", "show", "web-1")
    with answering(run_dir, "controller", {"vms": to_builtins([known.WEB_1]), "incidents": []}):
        free = run("vm", "show", "web-1")
    assert "start elsewhere  no: its disk vda is a file of this host" in ran.out
    assert "start elsewhere  no:" not in free.out
