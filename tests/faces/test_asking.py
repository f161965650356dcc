"""Commands ask the controller, fall back to the agent where it serves, and say what was wrong."""

import json
import socket
from pathlib import Path

import pytest
from msgspec import to_builtins

from holdfast.facts import wire
from tests.faces import examples as known
from tests.faces.conftest import Run
from tests.faces.programs_that_answer import HANG_UP, answering

VMS = to_builtins(list(known.VMS))
INCIDENTS = to_builtins([known.CLOSED, known.OPEN])

FALL_BACK = [
    ("status",),
    ("vm", "list"),
    ("vm", "show", "web-1"),
    ("incidents",),
    ("alarms",),
    ("disarm", "--reason", "x"),
    ("arm",),
    ("explain",),
    ("last-words", "web-1"),
]


@pytest.mark.parametrize("words", FALL_BACK)
def test_when_nothing_runs_it_says_what_to_start(run: Run, words: tuple[str, ...]) -> None:
    ran = run(*words)
    assert ran.code == 3
    assert ran.out == ""
    assert ran.err == "holdfast: Holdfast does not run here\n  start it: sudo holdfast up\n"


@pytest.mark.parametrize(
    "words",
    [
        ("group", "list"),
        ("group", "set", "g"),
        ("group", "forget", "g"),
        ("alarms", "ack", "1"),
        ("settle", "web-1-1-3f2a"),
    ],
)
def test_what_needs_the_controller_says_so(run: Run, run_dir: Path, words: tuple[str, ...]) -> None:
    with answering(run_dir, "agent", {}):
        ran = run(*words)
    assert ran.code == 3
    assert ran.err.startswith("holdfast: no controller runs here\n")
    assert ran.err.endswith("needs the controller; start it: sudo holdfast controller\n")


def test_what_needs_the_controller_is_named_as_it_was_typed(run: Run, run_dir: Path) -> None:
    with answering(run_dir, "agent", {}):
        said = run("group", "set", "g").err
    assert said.splitlines()[1].strip().startswith("holdfast group set needs the controller")


@pytest.mark.parametrize("words", [("token", "new"), ("token", "list"), ("show",)])
def test_without_a_site_there_is_no_ca_to_ask(
    run: Run, site_dir: Path, run_dir: Path, words: tuple[str, ...]
) -> None:
    """Whatever runs here: a controller that belongs to none says so itself."""
    with (site_dir / "holdfast.toml").open("a") as file:
        file.write(f'[site]\ntls_dir = "{site_dir}/tls"\n')
    said = "holdfast: this host belongs to no site\n  make one: sudo holdfast init\n"
    assert run("ca", *words).err == said
    with answering(run_dir, "agent", {}):
        ran = run("ca", *words)
    assert (ran.code, ran.err) == (2, said)


@pytest.mark.slow
def test_a_host_of_a_site_waits_for_its_controller(run: Run, site_dir: Path, run_dir: Path) -> None:
    with (site_dir / "holdfast.toml").open("a") as file:
        file.write(f'[site]\ntls_dir = "{site_dir}/tls"\n')
    (site_dir / "tls").mkdir()
    (site_dir / "tls" / "host.crt").write_text("of its site")
    with answering(run_dir, "agent", {}):
        assert "needs the controller; start it" in run("ca", "show").err


def test_without_a_controller_the_agent_answers_and_that_is_said(run: Run, run_dir: Path) -> None:
    with answering(run_dir, "agent", {"vms": VMS}):
        ran = run("vm", "list")
    assert ran.code == 0
    assert "web-1" in ran.out
    note = "holdfast: no controller runs here: asked the agent of this host instead\n"
    assert ran.err == note


def test_a_controller_without_its_agent_is_passed_by(run: Run, run_dir: Path) -> None:
    away = wire.Reply(id=0, error="the agent of this host is away", code=3)
    with (
        answering(run_dir, "controller", {"vms": away}),
        answering(run_dir, "agent", {"vms": VMS}),
    ):
        ran = run("vm", "list", "--json")
    assert json.loads(ran.out)["from"] == "agent"


def test_json_goes_to_standard_output_alone(run: Run, run_dir: Path) -> None:
    with answering(run_dir, "controller", {"vms": VMS}):
        ran = run("vm", "list", "--json")
    told = json.loads(ran.out)
    assert (ran.code, ran.err, told["from"]) == (0, "", "controller")
    assert [vm["name"] for vm in told["vms"]] == ["db-1", "spare", "web-1"]


def test_a_question_says_who_asks(run: Run, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(run_dir, "controller", {"disarm": to_builtins(known.DISARM)}) as fake:
        run("disarm", "--reason", "disk swap", "--for", "1h30m")
        monkeypatch.setenv("SUDO_USER", "bert")
        run("disarm", "--reason", "again")
    first, second = fake.asked
    assert (first.by, first.args) == ("anna", {"reason": "disk swap", "seconds": 5_400})
    assert (second.by, second.args["seconds"]) == ("bert", 3_600)


def test_an_error_of_a_program_is_told_with_its_hint_and_code(run: Run, run_dir: Path) -> None:
    refusal = wire.Reply(id=0, error="web-1 is transient", hint="virsh define vm.xml", code=4)
    with answering(run_dir, "controller", {"vms": VMS, "protect": refusal}):
        ran = run("vm", "protect", "web-1")
    assert ran.code == 4
    assert ran.err == "holdfast: web-1 is transient\n  virsh define vm.xml\n"


@pytest.mark.slow
def test_a_program_that_listens_and_says_nothing_is_not_waited_for_long(
    run: Run, run_dir: Path
) -> None:
    with (
        socket.socket(socket.AF_UNIX) as mute,
        answering(run_dir, "agent", {"vms": VMS}),
    ):
        mute.bind(str(run_dir / "api.sock"))
        mute.listen()
        ran = run("vm", "list")
    assert ran.code == 0
    assert "the controller does not answer: asked the agent" in ran.err


def test_a_program_that_ends_while_asked_is_away(run: Run, run_dir: Path) -> None:
    with (
        answering(run_dir, "controller", {"vms": HANG_UP}),
        answering(run_dir, "agent", {"vms": VMS}),
    ):
        ran = run("vm", "list")
    assert "the controller ended while it was asked: asked the agent" in ran.err


def test_an_answer_of_another_version_is_told_without_a_traceback(run: Run, run_dir: Path) -> None:
    with answering(run_dir, "controller", {"vms": [{"vm": 5}]}):
        ran = run("vm", "list")
    assert ran.code == 5
    assert ran.err.startswith("holdfast: an answer is not understood: ")
    assert "restart them" in ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("vm", "show", "wbe-1"), "there is no VM 'wbe-1'\n  did you mean web-1"),
        (("vm", "protect", "wbe-1"), "there is no VM 'wbe-1'\n  did you mean web-1"),
        (("vm", "show", "zzz"), "there is no VM 'zzz'\n  holdfast vm list lists what there is"),
        (("group", "show", "gateway"), "there is no group 'gateway'\n  did you mean gateways?"),
        (
            ("settle", "web-1-1-3f2b"),
            "there is no incident 'web-1-1-3f2b'\n  did you mean web-1-1-3f2a?",
        ),
        (("explain", "web-2"), "there is no incident 'web-2'\n  did you mean web-1"),
        (("last-words", "wbe-1"), "there is no VM 'wbe-1'\n  did you mean web-1"),
        (("alarms", "ack", "7"), "there is no alarm number 7: 1 open"),
        (("stats",), "there is no command 'stats'\n  did you mean status"),
        (("vm", "lst"), "there is no command vm lst\n  did you mean list?"),
        (("frobnicate",), "there is no command 'frobnicate'\n  holdfast --help lists them"),
        (("disarm",), "missing option '--reason'\n  holdfast disarm --help"),
        (("disarm", "--reason", "x", "--for", "soon"), "'soon' is no duration\n  write it like"),
        (("vm", "protect", "web-1", "--answers", "ssh"), "'ssh' is not a way to answer; use agent"),
        (("vm", "list", "--jsn"), "no such option"),
        (("group", "set", "g", "--level", "9"), "invalid value for '--level'"),
    ],
)
def test_a_slip_is_named_with_what_was_meant(
    run: Run, run_dir: Path, words: tuple[str, ...], said: str
) -> None:
    unknown = wire.Reply(id=0, error=f"there is no incident {words[-1]!r}", code=2)
    table = {
        "vms": VMS,
        "incidents": INCIDENTS,
        "groups": to_builtins(list(known.GROUPS)),
        "alarms": to_builtins([known.RAISED]),
        "explain": unknown,
        "last-words": unknown,
    }
    with answering(run_dir, "controller", table):
        ran = run(*words)
    assert ran.code == 2
    assert said in ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err
