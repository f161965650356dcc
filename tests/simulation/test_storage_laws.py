"""A storage that cuts a host off permits a start of what its proof names, and of nothing else.

The VM, its generation, its disks: each way to be wrong is seen to break the law.

covers: H9
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec import structs

from holdfast.adapters.simulated.storage import NotCutOff
from holdfast.facts.promises import Protection
from holdfast.facts.tenure import DeathProof, Tenure
from tests.simulation import fence_laws
from tests.simulation.rogues import ReportingController, Rogue
from tests.simulation.site_commands import play
from tests.simulation.site_laws import LawBroken
from tests.simulation.site_stage import SiteStage

pytestmark = pytest.mark.slow  # Seconds in all: `make test` runs them.


@pytest.fixture
def stage() -> Iterator[SiteStage]:
    stage = SiteStage(
        at_rest_ms=4_000, make_controller=ReportingController, hosts=4, controllers=1, bmcs=1
    )
    for line in ("vm web on=h2", "advance 1 s", "protect web", "advance 1 s", "freeze h2"):
        play(stage, line)
    stage.advance(1_500)
    yield stage
    stage.end()


def tenure_of(stage: SiteStage) -> Tenure:
    [protection] = stage.fences.truth.protections()
    assert isinstance(protection, Protection)
    return protection.tenure


def disk_of(stage: SiteStage) -> str:
    return stage.site.hosts["h2"].machine.vms.vms["web"].writes_to


def cut(stage: SiteStage, **changes: Any) -> DeathProof:
    tenure = structs.replace(tenure_of(stage), **changes)
    return stage.site.storage.cut_off(tenure, [disk_of(stage)])


def started(stage: SiteStage, proof: DeathProof, generation: int = 2) -> str:
    """Which law a start on h3 breaks, or empty."""
    rogue = Rogue(stage)

    def start() -> None:
        rogue.commit_start("web", proof, "h3", generation)
        rogue.begin("web", "h3", generation)

    return broken(stage, start)


def broken(stage: SiteStage, does: Callable[[], object]) -> str:
    try:
        does()
        stage.advance(100)
    except LawBroken as law:
        return str(law)
    return ""


def test_whose_disks_are_cut_off_may_start_elsewhere_while_the_guest_runs_on(
    stage: SiteStage,
) -> None:
    assert started(stage, cut(stage)) == ""
    assert stage.site.hosts["h2"].machine.vms.vms["web"].runs
    play(stage, "resume h2")
    assert broken(stage, lambda: stage.advance(500)) == "", "it writes to nothing"


def test_without_a_cut_a_proof_of_it_is_none(stage: SiteStage) -> None:
    proof = cut(stage)
    stage.site.storage.let_in("h2")
    said = started(stage, proof)
    assert said.startswith(f"{fence_laws.UNPROVEN}: web began on h3, and h2 still runs it")


@pytest.mark.parametrize(
    "wrong",
    [
        {"vm": "another"},
        {"generation": 2},
        {"host": "h4"},
        {"disks": ("another",)},
        {"disks": (), "remade": ("web",)},
    ],
    ids=str,
)
def test_a_proof_of_something_else_permits_nothing(stage: SiteStage, wrong: dict[str, Any]) -> None:
    proof = structs.replace(cut(stage), **wrong)
    said = started(stage, proof)
    assert said.startswith(f"{fence_laws.UNPROVEN}: web began on h3, and the store had no proof")


def test_it_permits_the_next_generation_and_no_later_one(stage: SiteStage) -> None:
    said = started(stage, cut(stage), generation=3)
    assert said.startswith(fence_laws.UNPROVEN)


def test_a_storage_that_lies_deceives_but_there_must_have_been_a_proof(stage: SiteStage) -> None:
    stage.site.storage.lies = True
    proof = cut(stage)
    assert len(stage.fences.truth.copies().get(disk_of(stage), [])) == 1, "it writes still"
    said = started(stage, structs.replace(proof, vm="another"))
    assert said.startswith(fence_laws.UNPROVEN)


def test_who_was_lied_to_breaks_no_law(stage: SiteStage) -> None:
    stage.site.storage.lies = True
    assert started(stage, cut(stage)) == ""
    assert len(stage.fences.truth.copies().get(disk_of(stage), [])) == 2, "nobody could know"


def test_a_storage_that_is_gone_cuts_nobody_off(stage: SiteStage) -> None:
    stage.site.storage.is_away = True
    with pytest.raises(NotCutOff, match="does not answer"):
        cut(stage)
    assert len(stage.fences.truth.copies().get(disk_of(stage), [])) == 1
