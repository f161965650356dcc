"""What a story says of power, disks and people is so in the world, and in the program.

covers: H9
"""

from collections.abc import Iterator

import msgspec
import pytest

from holdfast.adapters.simulated.bmc import PLANE
from holdfast.facts.fencing import HostFencing, HostMode
from tests.simulation.site_commands import play
from tests.simulation.site_stage import SiteStage
from tests.simulation.story_lines import BadStory


@pytest.fixture
def stage() -> Iterator[SiteStage]:
    stage = SiteStage(at_rest_ms=4_000, hosts=3, controllers=1, bmcs=2)
    play(stage, "vm web on=h2")
    stage.advance(1_000)
    stage.said.clear()
    yield stage
    stage.end()


def fencing_of(stage: SiteStage, host: str) -> HostFencing:
    held = stage.site.cluster.truth.contents[f"fencing/{host}"]
    return msgspec.json.decode(held.value, type=HostFencing)


def restarts(stage: SiteStage, host: str, vm: str = "web") -> int:
    return sum(1 for name, _ in stage.site.hosts[host].machine.vms.starts if name == vm) - 1


def test_a_bmc_is_given_each_trouble_and_is_well_again(stage: SiteStage) -> None:
    one, two = stage.site.bmcs.of("h3")
    play(stage, "bmc h3 n=1 dead shares-power refuses half second-try late=3000 wired-to=h2")
    assert one.is_dead
    assert one.shares_power
    assert one.refuses
    assert one.is_half
    assert one.ignores_every_other
    assert (one.late_ms, one.wired_to.name, two.is_dead) == (3_000, "h2", False)
    play(stage, "bmc h3 lies=off")
    assert (one.lies, two.lies) == ("off", "off")
    play(stage, "bmc h3 n=2 on-for-ever")
    assert (one.lies, two.lies) == ("off", "on")
    play(stage, "bmc h3 well")
    assert (one.lies, one.late_ms, one.is_deceiving, one.is_dead) == ("", 0, False, False)
    with pytest.raises(BadStory, match="colour"):
        play(stage, "bmc h3 colour")


def test_the_management_network_is_cut_for_one_controller(stage: SiteStage) -> None:
    network = stage.site.bmcs.network
    play(stage, "cut-management h1 h3")
    assert not network.talk("h1", "h3-bmc2", PLANE)
    assert network.talk("h1", "h2-bmc1", PLANE)
    play(stage, "cut-management h1")
    assert not network.talk("h1", "h2-bmc1", PLANE)
    play(stage, "mend-management h1 h2")
    assert network.talk("h1", "h2-bmc1", PLANE)
    assert not network.talk("h1", "h3-bmc1", PLANE)
    play(stage, "mend-management")
    assert network.is_whole


def test_people_set_the_mode_of_a_host_and_its_ladder(stage: SiteStage) -> None:
    assert play(stage, "act h3") == []
    held = fencing_of(stage, "h3")
    assert held.mode is HostMode.ACT
    assert [one.options["ip"] for one in held.devices] == ["h3-bmc1", "h3-bmc2"]
    play(stage, "report-only h3")
    assert fencing_of(stage, "h3").mode is HostMode.REPORT


def test_who_is_protected_comes_back_unless_people_have_disarmed_it(stage: SiteStage) -> None:
    assert play(stage, "protect web") == []
    play(stage, "kill web")
    stage.advance(3_000)
    assert restarts(stage, "h2") == 1
    play(stage, "disarm 1 h")
    play(stage, "kill web")
    stage.advance(3_000)
    assert restarts(stage, "h2") == 1
    play(stage, "arm")
    stage.advance(3_000)
    assert restarts(stage, "h2") == 2
    play(stage, "unprotect web")
    play(stage, "kill web")
    stage.advance(3_000)
    assert restarts(stage, "h2") == 2


def test_a_disarm_ends_by_itself_for_the_controller_too(stage: SiteStage) -> None:
    play(stage, "disarm 1 min")
    registry = stage.site.controllers["h1"].registry
    process = stage.site.hosts["h1"].machine.loops["controller"]
    assert process.inside(registry.disarm) is not None
    stage.advance(61_000)
    assert process.inside(registry.disarm) is None


def test_a_group_may_be_somebody_elses(stage: SiteStage) -> None:
    assert play(stage, "group theirs owner=nobody") == []
    play(stage, "protect web group=theirs")
    play(stage, "kill web")
    stage.advance(3_000)
    assert restarts(stage, "h2") == 0


def test_people_are_told_when_it_was_not_done(stage: SiteStage) -> None:
    said = play(stage, "protect web group=unheard")
    assert said[-1].startswith("people are told: there is no group 'unheard'")
    play(stage, "kill-controller h1")
    for line in ("act h3", "protect web", "disarm 1 h", "arm", "confirm-dead h3"):
        assert play(stage, line)[-1] == "people are told: no controller leads"


def test_a_person_who_confirms_wrongly_deceives(stage: SiteStage) -> None:
    truth, boot = stage.fences.truth, stage.site.hosts["h3"].machine.boot
    play(stage, "power-cut h3")
    assert "people are told: h3 shows a sign of life" in play(stage, "confirm-dead h3")[-1]
    stage.advance(15_000)
    play(stage, "confirm-dead h3")
    assert not truth.is_deceived("h3", boot)
    fence = truth.fences["h3"]
    assert (fence.by, fence.boot) == ("ann", boot)
    assert fence.proof is not None
    assert fence.proof.by == "ann"
    play(stage, "isolate h2")
    stage.advance(15_000)
    play(stage, "confirm-dead h2")
    assert truth.fences["h2"].by == "ann"
    assert truth.is_deceived("h2", stage.site.hosts["h2"].machine.boot)


def test_a_host_without_room_does_not_start_what_it_is_told_to(stage: SiteStage) -> None:
    play(stage, "vm big on=h2 memory=2")
    stage.advance(1_000)
    assert play(stage, "protect big") == []
    play(stage, "memory h2=2000")
    play(stage, "kill big")
    stage.advance(3_000)
    assert restarts(stage, "h2", "big") == 0
    play(stage, "memory h2=4000")
    stage.advance(30_000)
    assert restarts(stage, "h2", "big") == 1


def test_vms_are_defined_started_and_stopped_by_hand(stage: SiteStage) -> None:
    play(stage, "define web on=h3")
    assert not stage.site.hosts["h3"].machine.vms.vms["web"].runs
    play(stage, "stop web")
    stage.advance(1_000)
    play(stage, "start web on=h3")
    stage.advance(1_000)
    assert stage.site.host_of("web").machine.name == "h3"
    play(stage, "redefine web memory=3")
    assert stage.site.hosts["h3"].machine.vms.vms["web"].memory_mib == 3_072
    play(stage, "undefine web on=h3")
    assert not stage.site.hosts["h3"].machine.vms.vms["web"].is_defined


def test_storage_that_all_share_stops_all_guests_and_lets_them_go_on(stage: SiteStage) -> None:
    vm = stage.site.hosts["h2"].machine.vms.vms["web"]
    play(stage, "storage away")
    assert vm.is_paused
    assert vm.runs
    play(stage, "storage back")
    assert not vm.is_paused


def test_a_status_shows_where_each_vm_runs_and_each_hosts_power(stage: SiteStage) -> None:
    play(stage, "define web on=h3")
    play(stage, "power-cut h1")
    assert play(stage, "status")[-2:] == ["web: runs on h2", "power: h1 off, h2 on, h3 on"]
    play(stage, "power-cut h2")
    assert play(stage, "status")[-2] == "web: runs nowhere"
