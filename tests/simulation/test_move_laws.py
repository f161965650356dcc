"""Each law of moves is seen to be broken by a rogue, and to hold else.

covers: H2 H9
"""

from collections.abc import Callable, Iterator

import pytest
from msgspec import structs

from holdfast.adapters.simulated.moves import Step
from holdfast.facts.migrations import Migration, MigrationStep
from tests.simulation import fence_laws, move_laws
from tests.simulation.people import People
from tests.simulation.rogues import ReportingController
from tests.simulation.site_commands import play
from tests.simulation.site_laws import LawBroken
from tests.simulation.site_stage import SiteStage

pytestmark = pytest.mark.slow  # Seconds in all: `make test` runs them.


@pytest.fixture
def stage() -> Iterator[SiteStage]:
    stage = SiteStage(
        at_rest_ms=4_000, make_controller=ReportingController, hosts=4, controllers=1, bmcs=1
    )
    for line in ("vm web on=h2", "advance 1 s", "protect web", "moves copy=300 switch=200"):
        play(stage, line)
    stage.fences.truth.to_be_moved.add("web")
    yield stage
    stage.end()


def uuid(stage: SiteStage) -> str:
    return stage.site.host_of("web").machine.vms.vms["web"].uuid


def commit(stage: SiteStage, step: MigrationStep = MigrationStep.BEGUN, to: str = "h3") -> None:
    held = next(iter(stage.fences.truth.protections()))
    made = Migration(
        vm=held.vm,
        name="web",
        number=1,
        generation=held.tenure.generation,
        revision=held.tenure.revision + 1,
        source="h2",
        source_boot=held.tenure.boot,
        target=to,
        target_boot=stage.site.hosts[to].machine.boot,
        term=1,
        step=step,
        limit_s=60,
    )
    tenure = held.tenure
    if step is MigrationStep.DONE:
        tenure = structs.replace(tenure, host=to, generation=tenure.generation + 1)
    protection = structs.replace(held, tenure=tenure)
    People(stage).put({f"migrations/{held.vm}": made, f"protections/{held.vm}": protection})


def order(stage: SiteStage, to: str = "h3") -> None:
    """As an agent would that lets nobody stop it."""
    site = stage.site
    source, target = site.hosts["h2"].machine, site.hosts[to].machine
    site.roads.add(source.vms.vms["web"], source, target, lambda: "")


def broken_by(does: Callable[[], None]) -> str:
    """Which law, or empty."""
    try:
        does()
    except LawBroken as law:
        return str(law)
    return ""


def broken(stage: SiteStage, ms: float = 1_000) -> str:
    return broken_by(lambda: stage.advance(ms))


def test_what_is_committed_may_move(stage: SiteStage) -> None:
    commit(stage)
    order(stage)
    assert broken(stage) == ""
    assert (stage.moves.came, stage.site.host_of("web").machine.name) == (1, "h3")


@pytest.mark.parametrize("way", ["nothing", "another host", "over"])
def test_what_is_not_committed_may_not(stage: SiteStage, way: str) -> None:
    if way == "another host":
        commit(stage, to="h4")
    elif way == "over":
        commit(stage, MigrationStep.UNDONE)
    order(stage)
    said = broken(stage)
    text = f"{move_laws.UNCOMMITTED_MOVE}: web came from h2 to h3, and the store knew nothing"
    assert said == text


@pytest.mark.parametrize("left", ["h4", "h2"])
def test_what_nobody_wanted_to_move_may_not(stage: SiteStage, left: str) -> None:
    """Drained is its own host or, as of one that died before, that of another time."""
    truth = stage.fences.truth
    truth.to_be_moved.clear()
    truth.to_be_left.add(left)
    commit(stage)
    order(stage)
    why = "web left h2, which nobody drains: nobody named it either"
    assert broken(stage) == ("" if left == "h2" else f"{move_laws.UNWANTED_MOVE}: {why}")


def test_what_people_move_by_hand_is_theirs(stage: SiteStage) -> None:
    play(stage, "virsh-migrate web to=h3")
    assert broken(stage) == ""
    assert stage.moves.came == 1


def test_at_no_step_of_a_move_two_copies_can_write(stage: SiteStage) -> None:
    """The one that waits for memory cannot, nor the one that has sent all of it."""
    commit(stage)
    order(stage)
    [move] = stage.site.roads.moves
    steps, writers = set(), set()
    disk = uuid(stage)
    while not move.is_over:
        stage.advance(10)
        steps.add(move.step)
        writers.add(len(stage.fences.truth.copies().get(disk, [])))
    assert steps == set(Step)
    assert writers <= {0, 1}


def test_a_source_that_goes_on_as_the_target_does_breaks_the_law(stage: SiteStage) -> None:
    commit(stage)
    order(stage)
    [move] = stage.site.roads.moves
    while move.step is not Step.CAME:
        stage.advance(10)
    stage.site.hosts["h2"].machine.vms.stay("web", is_shut_out=False)
    stage.fences.judge_copies()
    assert broken(stage, 10) == f"{fence_laws.TWO_COPIES}: web runs on h2 and h3"


def test_a_move_must_come_to_an_end(stage: SiteStage) -> None:
    commit(stage)
    text = "web moves still from h2 to h3, and runs on ['h2']"
    assert list(stage.moves.not_in_one_place()) == [f"{move_laws.ONE_PLACE}: {text}"]
    with pytest.raises(LawBroken, match="moves still"):
        stage.moves.at_the_end()
    commit(stage, MigrationStep.UNDONE)
    stage.moves.at_the_end()


def test_whoever_holds_it_runs_it(stage: SiteStage) -> None:
    commit(stage, MigrationStep.DONE)
    text = "web is held by h3, and runs on ['h2']"
    assert list(stage.moves.not_in_one_place()) == [f"{move_laws.ONE_PLACE}: {text}"]


@pytest.mark.parametrize(("waits_s", "is_broken"), [(0, False), (5, True)])
def test_nothing_goes_to_a_host_that_has_been_drained_for_a_while(
    stage: SiteStage, waits_s: int, is_broken: bool
) -> None:
    stage.fences.truth.drained["h3"] = stage.site.clock.now
    stage.advance(waits_s * 1_000)
    said = broken_by(lambda: commit(stage))
    text = f"{move_laws.DRAINED}: web is to go to h3, which people drain"
    assert said == (text if is_broken else "")
