"""Status says whose word it is, who is away, and what brings a service back, in words that hold."""

import io
import re
import subprocess
import sys
from typing import Any

import pytest
from msgspec import structs, to_builtins

from holdfast.faces.cli import site_words
from holdfast.faces.cli.showing import show
from holdfast.faces.cli.status_view import Around, make_view
from holdfast.faces.pages.hosts import HostRow, agent_words
from holdfast.faces.pages.status import StatusView, status_page, troubles
from holdfast.facts import wire
from holdfast.facts.catalogue import BY_ID
from tests.faces import examples as known
from tests.faces.conftest import Run
from tests.faces.programs_that_answer import answering

HERE: dict[str, Any] = {**known.AGENT_STATUS, "vms": [], "incidents": [], "open_alarms": 0}
UP: dict[str, Any] = {"host_name": "h1", "store": "answers", "leader": "h1", "hosts": []}
UP |= {"controllers": {"h1": "here", "h2": "up", "h3": "up"}}
START = "sudo /etc/init.d/holdfast start"


def page(view: StatusView) -> str:
    out = io.StringIO()
    show(status_page(view, known.NOW_MS), out)
    return out.getvalue()


def row(name: str, **more: Any) -> dict[str, Any]:
    return {"host": f"id-{name}", "host_name": name, "is_up": True, "planes": ["a"], **more}


def test_libvirt_that_was_not_asked_yet_is_no_trouble() -> None:
    assert troubles(make_view(UP, {**HERE, "libvirt": "not asked yet"})) == []
    assert troubles(make_view(UP, {**HERE, "libvirt": "does not answer"}))


def test_a_stopped_service_is_started_as_a_service() -> None:
    said = page(make_view(None, HERE, "no controller runs here", around=Around(start=START)))
    assert f"What to do: {START}" in said
    assert "sudo holdfast controller" not in said


def test_a_service_that_is_being_started_is_waited_for(run: Run, run_dir: Any) -> None:
    argv = [sys.executable, "-c", "import time; time.sleep(60)", "supervise"]
    with subprocess.Popen(argv) as process, answering(run_dir, "agent", {"status": HERE}):
        try:
            (run_dir / "supervise.pid").write_text(f"{process.pid}\n")
            said = run("status").out
        finally:
            process.kill()
    assert "controller does not run: its service starts it" in said
    assert "What to do: try again in a moment" in said
    assert "sudo holdfast" not in said


def test_the_word_of_another_host_is_not_shown_as_this_hosts_own() -> None:
    around = Around(own_name="h4", start=START)
    well = page(make_view(UP, HERE, around=around))
    assert well.startswith("the site, as h1 tells it: everything is well\n")
    assert "agent of kvm-7" not in well
    assert re.search(r"agent of h4 +runs", well)
    away = page(make_view(UP, None, "", "no agent runs here", around))
    assert "agent of h4 does not run" in away
    assert f"What to do: {START}" in away


def test_nobody_leads_is_said_and_each_controller_that_is_away_is_named() -> None:
    silent = row("h3", is_silent=True, said="is silent: suspected to be lost", care="bad")
    lost = structs.replace(known.OPEN, host="id-h3", name="h3", vm="", life=None, needs_you="")
    told = {
        **UP,
        "leader": "",
        "store": "the store does not serve",
        "controllers": {"h1": "here", "h2": "no answer in 5 s", "h3": "up"},
        "hosts": [row("h1"), row("h2"), silent],
        "incidents": [to_builtins(lost)],
    }
    said = page(make_view(told, HERE))
    words = "h2 is away (no answer in 5 s), h3 is away (is silent: suspected to be lost)"
    assert f"h1, {words}, nobody leads" in " ".join(said.split())
    last = said.splitlines()[-1]
    assert "nothing can be changed until h2 or h3 is back; alarms are still sent" in last


@pytest.mark.parametrize(("is_silent", "said"), [(True, "not heard"), (False, "here since")])
def test_a_silent_hosts_agent_is_not_said_to_be_here(is_silent: bool, said: str) -> None:
    rows = [row("h1"), row("h2", is_silent=is_silent, since_utc_ms=known.NOW_MS - 100)]
    text = page(make_view({**UP, "hosts": rows}, HERE))
    assert said in text
    assert ("here since" in text) is not is_silent


def test_how_long_a_host_is_not_heard_is_said() -> None:
    silent = HostRow(host="id-h2", host_name="h2", is_silent=True, silent_utc_ms=known.NOW_MS)
    assert agent_words(silent, known.NOW_MS + 3_000).plain == "not heard for 3.0 s"
    assert agent_words(structs.replace(silent, silent_utc_ms=0), 5).plain == "not heard"


def test_what_reached_this_host_only_says_so_at_the_end(run: Run, run_dir: Any) -> None:
    with answering(run_dir, "agent", {"disarm": to_builtins(known.DISARM), "arm": {"was": None}}):
        off, on = run("disarm", "--reason", "t"), run("arm")
    assert (off.code, on.code) == (1, 1)
    assert "THIS HOST ONLY" in off.out.splitlines()[-2]
    assert off.out.endswith("when a controller serves again: holdfast disarm\n")
    assert on.out.endswith("when a controller serves again: holdfast arm\n")
    with answering(run_dir, "controller", {"arm": {"was": None}}):
        assert run("arm").code == 0


def test_no_incident_yet_is_no_mistake(run: Run, run_dir: Any) -> None:
    none = wire.Reply(id=0, error="there has been no incident", code=2)
    with answering(run_dir, "controller", {"explain": none, "incidents": []}):
        ran = run("explain")
        assert (ran.code, ran.out, ran.err) == (0, "There has been no incident.\n", "")
        assert run("explain", "web-9").code == 2


@pytest.mark.parametrize(
    ("controllers", "few", "next_step"),
    [
        ({}, "one controller of three", "Let two more join: holdfast ca token new --controller"),
        ({"h1": "here", "h2": "up"}, "two controllers of three", "Let one more join: holdfast ca"),
    ],
)
def test_too_few_controllers_are_said_and_are_no_trouble(
    controllers: dict[str, str], few: str, next_step: str, run: Run, run_dir: Any
) -> None:
    """Scripts wait for 0 while a site grows."""
    told = {**UP, "controllers": controllers, "store_kind": "etcd", "incidents": []}
    with (
        answering(run_dir, "controller", {"status": told}),
        answering(run_dir, "agent", {"status": HERE}),
    ):
        ran = run("status")
    assert ran.code == 0
    assert f"everything is well, but it has {few}\n" in ran.out
    assert ran.out.splitlines()[-1].startswith(f"The site has {few}: ")
    assert next_step in ran.out
    assert "Nothing to do" not in ran.out


def test_as_many_controllers_as_the_store_is_made_for_lack_nothing() -> None:
    for told in ({**UP, "store_kind": "etcd"}, {**UP, "controllers": {}, "store_kind": "sqlite"}):
        assert "of three" not in page(make_view(told, HERE))


def test_who_revokes_a_controller_is_told_what_is_left(run: Run, run_dir: Any) -> None:
    table: dict[str, Any] = {"certificate-revoke": {"revoked": ["1f"], "hosts": ["h3"]}}
    table["site"] = {"controllers": [{"name": "h1"}, {"name": "h2"}], "store": "etcd"}
    words = ("ca", "certificate", "revoke", "h3", "--reason", "gone")
    with answering(run_dir, "controller", table):
        ran = run(*words)
    assert (ran.code, ran.err) == (0, "")
    assert (
        "revoked: h3 (certificate 1f); links that it had are closed\nholdfast: the site has two"
        in ran.out
    )
    with answering(run_dir, "controller", {"certificate-revoke": {"revoked": ["1f"]}}):
        ran = run(*words)
    assert ran.code == 0, "it is revoked, whatever is not known beside it"


def test_a_controller_that_leaves_tells_what_is_left() -> None:
    [said] = site_words.lacking({"controllers": ["h1", "h2"], "store": "etcd"})
    assert said.startswith("the site has two controllers of three: ")
    assert site_words.lacking({"controllers": ["h1"], "store": "sqlite"}) == []
    assert site_words.lacking({"left": "h3"}) == [], "of an older controller"


def test_the_next_step_for_a_silent_host_is_that_of_its_alarm(run: Run, run_dir: Any) -> None:
    lost = structs.replace(known.OPEN, host="id-h3", name="h3", vm="", life=None, needs_you="")
    lost = structs.replace(lost, conditions=("host-plane-lost", "host-lost"), owner="nobody")
    repair = BY_ID["host-lost"].repair.replace("HOST", "h3")
    table = {"status": UP, "incidents": [to_builtins(lost)]}
    table["explain"] = {"incident": to_builtins(lost), "records": []}
    with answering(run_dir, "controller", table), answering(run_dir, "agent", {"status": HERE}):
        for words in (["status"], ["incidents"], ["explain", lost.id]):
            said = " ".join(run(*words).out.split())
            assert f"if it stays so: {repair}" in said
            assert ".." not in said.replace("...", "")


def test_a_host_that_was_put_out_hears_that_first() -> None:
    lost = structs.replace(known.OPEN, needs_you="h2: Look at its power and network.")
    told = {**UP, "is_put_out": True, "incidents": [to_builtins(lost)], "open_alarms": 3}
    said = page(make_view(told, HERE)).splitlines()
    assert said[1] == "  this host was put out of the site"
    assert said[-1] == "Needs you: this host was put out of the site: holdfast leave --alone"


def test_open_alarms_are_not_nothing_to_do(run: Run, run_dir: Any) -> None:
    told = {**UP, "incidents": [], "open_alarms": 2}
    with (
        answering(run_dir, "controller", {"status": told}),
        answering(run_dir, "agent", {"status": HERE}),
    ):
        ran = run("status")
    assert ran.code == 0
    assert "everything is well, but 2 alarms are open\n" in ran.out
    assert ran.out.splitlines()[-1] == "What is open, and what to do: holdfast alarms"


def test_a_site_that_is_all_in_maintenance_is_not_well() -> None:
    rows = [row("h1", is_drained=True), row("h2", is_drained=True, vms=2)]
    said = page(make_view({**UP, "hosts": rows}, HERE))
    words = "every host is in maintenance (drained): none takes a VM, and 2 VMs could not leave"
    assert words in said
    assert "What to do: holdfast host undrain HOST, for h1 or h2" in said


def test_who_could_not_leave_a_drained_host_is_not_nothing_to_do() -> None:
    rows = [row("h1"), row("h2", is_drained=True, vms=1)]
    said = page(make_view({**UP, "hosts": rows}, HERE))
    assert "everything is well" in said, "a drain may be under way"
    assert "h2 is drained, and 1 VM is still there" in said
    assert "holdfast host drain h2" in said
