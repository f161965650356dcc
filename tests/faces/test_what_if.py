"""An incident is run again: with the same settings the same comes of it, with others it is told.

covers: H9
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from holdfast.adapters.journals.segments import read
from holdfast.controller.watching import FOLDER
from holdfast.controller.what_if import Changes, WhatIf, run, window_of
from holdfast.facts.fencing import HostMode
from holdfast.policy.site_world import SiteWorld
from tests.faces.conftest import Run
from tests.policy.journaled import JournaledScene

Telling = Callable[[JournaledScene], None]


def dies_and_is_replaced(site: JournaledScene) -> None:
    site.runs("h4", "web4")
    site.wait(1_000)
    site.wrong("h4", "host-lost")
    site.wait(3_100)
    site.off("h4")
    site.wait(2_000)
    target = site.world.recoveries["web4"].target
    site.taken("web4")
    site.wait(3_000)
    site.runs(target, "web4", f"web{target[1:]}")
    site.wait(20_000)


def comes_back_after_seven_seconds(site: JournaledScene) -> None:
    """It is switched off, though: a committed intent is carried out."""
    site.runs("h4", "web4")
    site.wait(1_000)
    site.wrong("h4", "host-lost")
    site.wait(7_000)
    site.heard("h4")
    site.right("h4", "host-lost", was_wrong=True)
    site.wait(20_000)


def three_die_at_once(site: JournaledScene) -> None:
    site.wait(1_000)
    for host in ("h2", "h3", "h4"):
        site.wrong(host, "host-lost")
    site.wait(20_000)


def tell(
    folder: Path, story: Telling, *, hosts: int = 10, mode: HostMode | None = None
) -> SiteWorld:
    site = JournaledScene(folder, hosts=hosts)
    if mode is not None:
        for number in range(1, hosts + 1):
            site.mode(f"h{number}", mode)
    story(site)
    site.end()
    return site.world


def again(folder: Path, changes: Changes | None = None, name: str = "h4") -> WhatIf:
    window = window_of(read(folder), name)
    assert window is not None
    told = run(window, changes or Changes())
    assert told is not None
    return told


def times(told: WhatIf) -> tuple[dict[str, float], dict[str, float]]:
    """In seconds after the fault."""
    at = told.incident.fault_at
    return (
        {one.text: round((one.at - at) / 1e9, 1) for one in told.did},
        {one.text: round((one.at - at) / 1e9, 1) for one in told.would},
    )


DONE = {
    "commit that h4 is switched off": 3.2,
    "switch off h4": 3.2,
    "commit that h4 is dead": 3.8,
    "place web4 on h1": 3.8,
    "tell h1 to start web4": 3.8,
    "note that web4 answers on h1": 8.3,
}


@pytest.mark.parametrize(
    "story", [dies_and_is_replaced, comes_back_after_seven_seconds, three_die_at_once]
)
def test_with_the_settings_of_then_the_same_is_done_at_the_same_time(
    tmp_path: Path, story: Telling
) -> None:
    found = [again(tmp_path / "j", name=one) for one in tell(tmp_path / "j", story).incidents]
    assert all(did == would for did, would in map(times, found))
    assert any(one.did for one in found)


def test_what_is_told_of_a_host_that_was_replaced(tmp_path: Path) -> None:
    tell(tmp_path / "j", dies_and_is_replaced)
    assert times(again(tmp_path / "j"))[0] == DONE


def test_a_longer_wait_does_the_same_later_with_the_same_answers(tmp_path: Path) -> None:
    tell(tmp_path / "j", dies_and_is_replaced)
    told = again(tmp_path / "j", Changes(fence_after_ms=5_000))
    did, would = times(told)
    assert did == DONE
    assert list(would) == list(DONE)
    assert would["switch off h4"] == 5.2
    assert would["tell h1 to start web4"] == 5.8, "the device takes as long as it took"
    assert "h4 was switched off then: what it would have done later is not known" in told.notes


def test_a_vm_that_ran_elsewhere_then_is_not_taken_to_run_there(tmp_path: Path) -> None:
    """Its new host told of it before it would be placed at all."""
    tell(tmp_path / "j", dies_and_is_replaced)
    would = times(again(tmp_path / "j", Changes(fence_after_ms=12_000)))[1]
    assert would["place web4 on h1"] == 12.8


def test_a_mode_that_a_person_set_meanwhile_is_another_too(tmp_path: Path) -> None:
    def set_late(site: JournaledScene) -> None:
        site.wait(1_000)
        site.wrong("h4", "host-lost")
        site.wait(1_000)
        site.mode("h4", HostMode.REPORT)
        site.wait(20_000)

    tell(tmp_path / "j", set_late)
    did, would = times(again(tmp_path / "j", Changes(mode=HostMode.ACT)))
    assert (did, would["switch off h4"]) == ({}, 3.2)


def test_a_wait_that_outlasts_the_silence_switches_nobody_off(tmp_path: Path) -> None:
    tell(tmp_path / "j", comes_back_after_seven_seconds)
    did, would = times(again(tmp_path / "j", Changes(fence_after_ms=10_000)))
    assert "switch off h4" in did
    assert would == {}


def test_another_brake_lets_it_act_and_what_nobody_asked_is_not_made_up(tmp_path: Path) -> None:
    """Three of five are more than thirty in a hundred, and two are what fifty allow."""

    def two_die(site: JournaledScene) -> None:
        site.wait(1_000)
        site.wrong("h2", "host-lost")
        site.wait(2_000)
        site.wrong("h4", "host-lost")
        site.wait(20_000)

    tell(tmp_path / "j", two_die, hosts=5)
    told = again(tmp_path / "j", Changes(brake_percent=50))
    did, would = times(told)
    assert not [one for one in did if one.startswith("switch off h4")]
    assert "switch off h4" in would
    assert "commit that h4 is dead" not in would, "its device was never asked"
    known = "what the fence devices of h4 would have answered is not known"
    assert any(note.startswith(known) for note in told.notes)


def test_a_host_in_report_mode_would_have_been_switched_off(tmp_path: Path) -> None:
    tell(tmp_path / "j", comes_back_after_seven_seconds, mode=HostMode.REPORT)
    did, would = times(again(tmp_path / "j", Changes(mode=HostMode.ACT)))
    assert not [one for one in did if "switch" in one]
    assert "switch off h4" in would
    tell(tmp_path / "k", dies_and_is_replaced)
    did, would = times(again(tmp_path / "k", Changes(mode=HostMode.REPORT)))
    assert did == DONE
    assert would == {}


def test_a_vm_does_not_run_where_it_was_not_placed(tmp_path: Path) -> None:
    """Then it ran on h1 in the end; nothing here may be taken from that."""
    tell(tmp_path / "j", dies_and_is_replaced)
    window = window_of(read(tmp_path / "j"), "h4")
    assert window is not None
    told = run(window, Changes(fence_after_ms=600_000))
    assert told is not None
    assert told.would == ()


def test_the_newest_incident_of_a_host_is_meant_and_an_id_names_an_older_one(
    tmp_path: Path,
) -> None:
    def twice(site: JournaledScene) -> None:
        comes_back_after_seven_seconds(site)
        site.wait(700_000)
        site.heard("h4", boot=2)
        site.vms("h4", "web4", boot=2)
        site.wrong("h4", "host-lost", boot=2)
        site.wait(20_000)

    world = tell(tmp_path / "j", twice)
    first, second = (one for one in world.incidents if one.startswith("h4"))
    assert again(tmp_path / "j").incident.id == second
    assert again(tmp_path / "j", name=first).incident.id == first
    assert window_of(read(tmp_path / "j"), "h9") is None


def test_a_controller_that_did_not_lead_says_so(tmp_path: Path) -> None:
    def unled(site: JournaledScene) -> None:
        site.lead(0)
        site.wrong("h4", "host-lost")
        site.wait(5_000)

    tell(tmp_path / "j", unled)
    assert (
        "this controller did not lead then: run it on the one that did"
        in again(tmp_path / "j").notes
    )


# On the command line.


@pytest.fixture
def folder(site_dir: Path) -> Path:
    made = site_dir / "state" / "controller" / FOLDER
    tell(made, dies_and_is_replaced)
    return made


def test_it_is_told_beside_what_was_done(
    run: Run, folder: Path, tmp_path: Path, rewrite: bool
) -> None:
    file = tmp_path / "other.toml"
    file.write_text("[acting]\nfence_after_s = 20\nbrake_percent = 50\n")
    ran = run("replay", "h4", "--settings", str(file))
    golden = Path(__file__).with_name("fenced") / "what_if_it_had_waited_longer.txt"
    if rewrite:
        golden.write_text(ran.out)
    assert (ran.code, ran.out) == (1, golden.read_text())
    same = run("replay", "h4")
    assert same.code == 0
    assert "With the settings that held then." in same.out
    assert run("replay", "h4", "--mode", "report").code == 1


def test_scripts_read_it_as_json(run: Run, folder: Path) -> None:
    told: dict[str, Any] = json.loads(run("replay", "h4", "--mode", "report", "--json").out)
    assert {one["text"] for one in told["did"]} == set(DONE)
    assert told["would"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("h9",), "tells of no incident 'h9' of a host"),
        (("h4", "--settings", "/absent"), "cannot read /absent"),
        (("./h4", "--mode", "act"), "other settings are tried on an incident"),
    ],
)
def test_what_cannot_be_run_again_is_said(
    run: Run, folder: Path, words: tuple[str, ...], said: str
) -> None:
    ran = run("replay", *words)
    assert ran.code == 2
    assert said in ran.err


def test_a_host_that_keeps_no_journal_of_a_controller_says_where_to_ask(run: Run) -> None:
    ran = run("replay", "h4")
    assert ran.code == 2
    assert "run it on a controller" in ran.err


def test_settings_that_are_wrong_are_named(run: Run, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text("[acting]\nfence_after_s = 1\n")
    ran = run("replay", "h4", "--settings", str(file))
    assert (ran.code, "fence_after_s must be seconds from 3 to 600" in ran.err) == (2, True)


def test_a_controllers_journal_gives_the_same_actions_again(run: Run, folder: Path) -> None:
    ran = run("replay", str(folder))
    assert ran.code == 0
    assert ran.out.endswith("policy decides the same\n")


def test_a_host_has_one_name_in_what_was_done_and_in_what_would_be(tmp_path: Path) -> None:
    """The first snapshot of a controller knows no host by its name: names come after it."""
    tell(tmp_path / "j", dies_and_is_replaced)
    window = window_of(read(tmp_path / "j"), "h4")
    assert window is not None
    first, *others = window.records
    named = Raw(b'{"is":"HostSet","at":%d,"host":"h1","name":"h0","rack":"A"}' % first.at)
    records = (first, replace(first, kind="input", body=named), *others)
    told = run(replace(window, records=records, began=window.began + 1), Changes())
    assert told is not None
    for done in times(told):
        assert {"place web4 on h0", "tell h0 to start web4"} <= done.keys()
