"""The incident of a host that was fenced: evidence, proof, the way of each VM, what is left to do.

covers: H2, H9
"""

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.faces.cli.showing import show
from holdfast.faces.pages.explain import explain_page
from holdfast.faces.pages.fenced import named
from holdfast.facts.definitions import HostSize
from holdfast.facts.hearing import PlaneSilent, Sign, WitnessKind, WitnessSpoke
from holdfast.facts.incidents import Incident
from holdfast.policy.placement import MOST_REJECTED
from holdfast.policy.timing import LEVEL_MS
from tests.policy.fence_scene import NEEDS
from tests.policy.journaled import JournaledScene

GOLDEN = Path(__file__).with_name("fenced")
UTC_MS = 1_790_000_000_000


class Told(JournaledScene):
    """What a controller tells of the newest incident, on a page."""

    def __init__(self, folder: Path, hosts: int = 5) -> None:
        super().__init__(folder, hosts=hosts)
        self.wait(1_000)
        self.own: dict[str, str] = {}

    def hear(self, fact: PlaneSilent | WitnessSpoke) -> None:
        plain = msgspec.json.decode(msgspec.json.encode(fact))
        self.records.append({"at": self.now, "kind": "note", "body": plain})

    def witness(self, who: str, kind: WitnessKind, sign: Sign, plane: str = "") -> None:
        self.hear(
            WitnessSpoke(at=self.now, host="h4", kind=kind, witness=who, plane=plane, sign=sign)
        )

    def silence(self) -> None:
        """h4 dies, and others are asked."""
        boot = self.world.hosts["h4"].boot
        for plane in ("a", "b"):
            last = self.now
            silent = PlaneSilent(
                at=self.now, host="h4", boot=boot, plane=plane, last_heard=last, missed=4
            )
            self.hear(silent)
        self.wrong("h4", "host-lost", text="no pulse of h4 arrives")
        self.witness("c1", WitnessKind.PROBE, Sign.NOTHING, "a")
        self.witness("h2", WitnessKind.AGENT, Sign.UNKNOWN, "a")
        self.witness("h2", WitnessKind.AGENT, Sign.NOTHING, "a")
        self.witness("c2", WitnessKind.CONTROLLER, Sign.NOTHING)

    @property
    def incident(self) -> Incident:
        newest = list(self.world.incidents.values())[-1]
        return msgspec.structs.replace(newest, fault_utc_ms=UTC_MS)

    def page(self, **names: str) -> str:
        world = self.world
        levels = {
            vm: LEVEL_MS[world.group_of(promise.protection).level]
            for vm, promise in world.promises.items()
        }
        told: dict[str, Any] = {
            "incident": msgspec.to_builtins(self.incident),
            "records": self.records,
            "names": {**{host: host for host in world.hosts}, **names},
            "levels": levels,
            "vms": self.own,
        }
        out = io.StringIO()
        show(explain_page(told), out)
        return out.getvalue()


def recovered(folder: Path) -> Told:
    """Its VM comes back, one cannot, one is nobody's to start."""
    site = Told(folder)
    site.promise("local", "h4", msgspec.structs.replace(NEEDS, obstacle="its disk is on h4 alone"))
    site.size("h1", HostSize(memory_mib=1_200, cpus=4, bridges=("br0",)))
    site.runs("h4", "web4", "local")
    site.silence()
    site.wait(3_100)
    site.off("h4")
    site.wait(3_000)
    target = site.world.recoveries["web4"].target
    site.taken("web4")
    site.runs(target, "web4", is_serving=False)
    site.wait(4_000)
    site.runs(target, "web4")
    site.own = {"web4": "web4-1234"}
    return site


def given_back(folder: Path) -> Told:
    site = Told(folder)
    site.runs("h4", "web4")
    site.silence()
    site.wait(3_100)
    site.off("h4")
    site.wait(600)
    site.given_back("web4", "its disk is not there")
    site.wait(3_000)
    return site


def not_proven(folder: Path) -> Told:
    site = Told(folder)
    site.runs("h4", "web4")
    site.silence()
    site.wait(3_100)
    site.not_off("h4", "fence_ipmilan: it does not answer")
    return site


STORIES = {
    "a_fenced_host_and_its_vms": recovered,
    "a_fenced_host_whose_vm_was_given_back": given_back,
    "a_host_that_could_not_be_fenced": not_proven,
}


@pytest.mark.parametrize("name", sorted(STORIES))
def test_the_story_reads_as_its_file(name: str, tmp_path: Path, rewrite: bool) -> None:
    said = STORIES[name](tmp_path / "journal").page()
    path = GOLDEN / f"{name}.txt"
    if rewrite:
        path.write_text(said)
    assert said == path.read_text()


def test_what_was_heard_after_the_commit_was_no_evidence_for_it(tmp_path: Path) -> None:
    site = recovered(tmp_path / "journal")
    site.witness("h9", WitnessKind.AGENT, Sign.PULSE, "a")
    said = site.page()
    short = said[said.index("evidence") : said.index("committed")]
    assert "h2" in short
    assert "h9" not in short


def test_what_to_do_stands_at_the_end_too(tmp_path: Path) -> None:
    lines = not_proven(tmp_path / "journal").page().splitlines()
    assert lines[-1].startswith(
        "Needs you: see that h4 is off, then: holdfast host confirm-dead h4"
    )
    assert lines[1] == lines[-1]


def test_a_host_that_was_only_reported_has_no_short_story(tmp_path: Path) -> None:
    site = Told(tmp_path / "journal")
    site.silence()
    said = site.page()
    assert "In short" not in said
    assert "none: nothing was started elsewhere" in said


def test_too_late_is_said_against_what_was_promised(tmp_path: Path) -> None:
    site = Told(tmp_path / "journal")
    site.runs("h4", "web4")
    site.silence()
    site.wait(3_100)
    site.off("h4")
    site.wait(30_000)
    site.runs(site.world.recoveries["web4"].target, "web4")
    [row] = [line for line in site.page().splitlines() if line.startswith("web4")]
    assert "promised: 25" in row
    assert "within" not in row


def test_hosts_are_named_and_names_that_only_look_like_them_are_left() -> None:
    names = {"id-1": "h1", "id-10": "h10"}
    said = "placed on id-10, not on id-1; the disk id-1-data stays, and so does my_id-1"
    assert (
        named(said, names)
        == "placed on h10, not on h1; the disk id-1-data stays, and so does my_id-1"
    )


def test_a_leader_keeps_with_a_recovery_whom_it_did_not_take(tmp_path: Path) -> None:
    site = Told(tmp_path / "journal", hosts=14)
    site.size("h2", HostSize(memory_mib=1_200, cpus=4, bridges=("br0",)))
    site.silence()
    site.wait(3_100)
    site.off("h4")
    site.wait(600)
    rejected = site.world.recoveries["web4"].rejected
    assert len(rejected) == MOST_REJECTED + 1
    assert rejected[-1] == f"and {13 - MOST_REJECTED} more hosts"
    assert "h2: it has 200 MiB left, and 1000 are needed" in site.page()
