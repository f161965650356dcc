"""What a story says of recoveries, backups and incidents is so in the world, and in the program.

covers: H9
"""

from collections.abc import Iterator

import pytest

from tests.simulation.site_commands import play
from tests.simulation.site_stage import SiteStage
from tests.simulation.story_lines import BadStory


@pytest.fixture
def stage() -> Iterator[SiteStage]:
    stage = SiteStage(at_rest_ms=4_000, hosts=3, controllers=1, bmcs=1)
    play(stage, "vm web on=h2")
    stage.advance(1_000)
    play(stage, "protect web")
    stage.said.clear()
    yield stage
    stage.end()


def starts(stage: SiteStage, host: str, vm: str = "web") -> int:
    return sum(1 for name, _ in stage.site.hosts[host].machine.vms.starts if name == vm)


def test_a_vm_dies_as_it_boots_as_often_as_it_is_said(stage: SiteStage) -> None:
    play(stage, "break-boot web on=h2 times=2")
    play(stage, "kill web")
    stage.advance(20_000)
    assert starts(stage, "h2") == 1 + 3
    assert stage.site.hosts["h2"].machine.vms.vms["web"].runs


def test_a_bmc_that_is_strict_calls_it_an_error_that_its_host_is_off(stage: SiteStage) -> None:
    (bmc,) = stage.site.bmcs.of("h3")
    said: list[str] = []
    play(stage, "bmc h3 strict")
    bmc.hear("off", bmc.password, lambda answer: said.append(answer.error))
    stage.advance(1_000)
    assert said == [""]
    bmc.hear("off", bmc.password, lambda answer: said.append(answer.error))
    stage.advance(1_000)
    assert said[1] == "h3-bmc1 cannot switch off what is off already."
    play(stage, "bmc h3 well")
    assert not bmc.is_strict


def test_a_store_is_put_back_while_no_controller_runs(stage: SiteStage) -> None:
    contents = stage.site.cluster.truth.contents
    play(stage, "back-up h1")
    name = contents["store"].value
    play(stage, "act h3")
    assert "fencing/h3" in contents
    with pytest.raises(BadStory, match="kill the controllers first"):
        play(stage, "restore h1")
    play(stage, "kill-controller h1")
    play(stage, "restore h1")
    assert "fencing/h3" not in contents
    assert contents["store"].value != name, "it is a store of its own from now on"


def test_a_definition_is_forgotten(stage: SiteStage) -> None:
    stage.advance(2_000)
    assert any(key.startswith("definitions/") for key in stage.site.cluster.truth.contents)
    play(stage, "forget-definition web")
    assert not any(key.startswith("definitions/") for key in stage.site.cluster.truth.contents)


def test_an_incident_is_explained_and_settled(stage: SiteStage) -> None:
    assert play(stage, "explain h3") == ["no incident of h3 is known"]
    play(stage, "power-cut h3")
    stage.advance(1_000)
    said = play(stage, "explain h3")
    assert said[-3].startswith("incident of h3 (open): h3 is silent")
    assert said[-2:] == [
        "now: h3: its pulse is awaited, and others are asked whether it lives.",
        "Nothing to do.",
    ]
    play(stage, "settle h3")
    assert play(stage, "explain h3")[-2] == "end: The incident is closed: ann settled it."
    play(stage, "kill-controller h1")
    assert play(stage, "settle h3") == ["people are told: no controller leads"]
