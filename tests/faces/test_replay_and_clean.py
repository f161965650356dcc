"""A journal gives the same actions again, or the difference is named; `clean` takes only ours."""

import json
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from holdfast.adapters.drivers.only_one import only_one
from holdfast.adapters.journals.segments import Segments
from holdfast.agent.memory import Snapshot, open_journal
from holdfast.facts.actions import Action, CaptureLastWords
from holdfast.facts.commands import Booted
from holdfast.facts.instants import Instant
from holdfast.facts.subjects import Incarnation, vm_subject
from holdfast.facts.verdicts import Certainty, Effect, FaultRaised, VmRan
from holdfast.policy.decide import Decider, Input
from tests.faces import examples as known
from tests.faces.conftest import Run
from tests.faces.programs_that_answer import answering

LIFE = Incarnation(vm=known.WEB, boot="b", pid=7, started_ticks=7)
INPUTS: list[Input] = [
    Booted(at=Instant(1), host="h", host_name="h-1", boot="b", state_id="s"),
    VmRan(life=LIFE, name="web-1", at=Instant(2)),
    FaultRaised(
        detector="vm_gone",
        condition="vm-gone",
        subject=vm_subject(known.WEB, "web-1"),
        effect=Effect.GONE,
        certainty=Certainty.CERTAIN,
        fault_at=Instant(3),
        detected_at=Instant(4),
        reason="QEMU was killed",
        life=LIFE,
    ),
]


def write_journal(folder: Path, *, forget: int = 0, is_lying: bool = False) -> int:
    """Journal what policy does with the inputs, as the agent does.

    `forget` drops last actions; `is_lying` journals another action than the one that was done.
    """
    decider = Decider()
    journal: Segments = open_journal(folder, decider, 8)
    count = 0
    for fact in INPUTS:
        journal.append("input", Instant(5), fact)
        actions: list[Action] = decider.step(fact)
        count += len(actions)
        kept = actions[: len(actions) - forget] if fact is INPUTS[-1] else actions
        for action in kept:
            if is_lying and isinstance(action, CaptureLastWords):
                action = replace(action, budget_ms=1)  # noqa: PLW2901
            journal.append("action", Instant(5), action)
    journal.close()
    return count


def test_a_journal_gives_the_same_actions_again(run: Run, site_dir: Path) -> None:
    count = write_journal(site_dir / "state" / "journal")
    assert count > 1
    ran = run("replay")
    assert ran.code == 0
    assert ran.out == f"3 inputs in 1 segments gave {count} actions\npolicy decides the same\n"


def test_an_action_that_would_not_be_done_again_is_named(run: Run, site_dir: Path) -> None:
    write_journal(site_dir / "state" / "journal", is_lying=True)
    ran = run("replay", "--json")
    told = json.loads(ran.out)
    assert ran.code == 1
    assert told["differences"][0]["input"]["is"] == "FaultRaised"
    assert "policy decides otherwise" in run("replay").out


def test_actions_cut_off_by_a_kill_are_no_difference(run: Run, site_dir: Path) -> None:
    write_journal(site_dir / "state" / "journal", forget=1)
    told = json.loads(run("replay", "--json").out)
    assert (told["cut_off"], told["differences"]) == (1, [])


def test_what_follows_a_damaged_line_is_not_judged(run: Run, site_dir: Path) -> None:
    folder = site_dir / "state" / "journal"
    write_journal(folder)
    [segment] = folder.glob("*.jsonl")
    segment.write_text(segment.read_text().replace('"is":"VmRan"', '"is":"VmR?n"'))
    told = json.loads(run("replay", "--json").out)
    assert (told["gaps"], told["inputs"], told["differences"]) == (1, 1, [])


def test_a_journal_that_is_not_there_is_named(run: Run, tmp_path: Path) -> None:
    ran = run("replay", str(tmp_path / "absent"))
    assert ran.code == 2
    assert "there is no journal in" in ran.err


def test_a_folder_with_nothing_in_it_was_not_replayed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = run("replay", str(tmp_path / "empty"))
    assert (ran.code, ran.out) == (2, "")
    assert "there is nothing to replay in" in ran.err


def test_a_snapshot_is_what_the_segment_begins_with(site_dir: Path) -> None:
    folder = site_dir / "journal"
    write_journal(folder)
    [segment] = folder.glob("*.jsonl")
    first = json.loads(segment.read_text().splitlines()[0])
    assert msgspec.convert(first["body"], Snapshot).world.host == ""


def test_clean_asks_and_without_a_person_does_nothing(run: Run, site_dir: Path) -> None:
    (site_dir / "state" / "file").write_text("x")
    ran = run("clean")
    assert ran.code == 2
    assert "nobody is here to say yes\n  holdfast clean --yes" in ran.err
    assert (site_dir / "state" / "file").exists()


@pytest.mark.parametrize("program", ["agent", "controller"])
def test_clean_refuses_while_a_program_runs(run: Run, run_dir: Path, program: str) -> None:
    with answering(run_dir, program, {}):
        ran = run("clean", "--yes")
    assert ran.code == 4
    assert f"the {program} still runs here" in ran.err
    assert run_dir.exists()


def test_clean_refuses_while_a_pulse_runs(run: Run, run_dir: Path) -> None:
    with only_one("pulse", run_dir):
        ran = run("clean", "--yes")
    assert ran.code == 4
    assert ran.err.startswith("holdfast: the pulse still runs here\n")
    assert run_dir.exists()


FAKE_VIRSH = """#!/bin/sh
echo "$*" >> {log}
case "$*" in
    *"--all --uuid") echo {vm} ;;
    *domstate*) echo running ;;
    *domname*) echo web-1 ;;
esac
"""


def test_clean_gives_protected_vms_their_settings_back_before_it_forgets_them(
    run: Run, site_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = {known.WEB: {"vm": known.WEB, "autostart": True, "on_crash": "restart"}}
    memo = site_dir / "state" / "memo.json"
    memo.write_text(json.dumps({"taken": taken, "agents": []}))
    log, virsh = site_dir / "log", site_dir / "virsh"
    virsh.write_text("#!/bin/sh\necho libvirt is away >&2\nexit 1\n")
    virsh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{site_dir}:/usr/bin:/bin")
    refused = run("clean", "--yes")
    assert refused.code == 4
    assert "cannot be given their settings back: libvirt: libvirt is away" in refused.err
    assert memo.exists()
    virsh.write_text(FAKE_VIRSH.format(log=log, vm=known.WEB))
    ran = run("clean", "--yes")
    assert ran.code == 0
    assert "web-1 has its own settings back" in ran.out
    said = log.read_text()
    assert f"set-lifecycle-action {known.WEB} crash restart --config\n" in said
    assert f"set-lifecycle-action {known.WEB} crash restart --live\n" in said
    assert "autostart" not in said
    assert not memo.exists()


def test_clean_takes_what_is_ours_and_leaves_the_list_of_packages(run: Run, site_dir: Path) -> None:
    (site_dir / "state" / "journal").mkdir()
    (site_dir / "state" / "journal" / "1.jsonl").write_text("x")
    (site_dir / "state" / "distribution-packages").write_text("qemu\n")
    beside = site_dir / "beside"
    beside.write_text("not ours")
    (site_dir / "cache" / "link").symlink_to(beside)
    ran = run("clean", "--yes")
    assert ran.code == 0
    assert [path.name for path in (site_dir / "state").iterdir()] == ["distribution-packages"]
    assert not (site_dir / "run").exists()
    assert not (site_dir / "cache").exists()
    assert beside.read_text() == "not ours"
