"""An end of a migration only reports, and goes on from how the leader says that it ended.

covers: H2 H6 H9
"""

from msgspec import structs

from holdfast.facts.actions import ProveGone, Report, RestartHere, TellTenure
from holdfast.facts.commands import CopyOutranked, ProtectionGranted
from holdfast.facts.tenure import TenureState, Wanted
from holdfast.policy import moving, promise
from holdfast.policy.vm_states import VmState
from tests.policy import inputs
from tests.policy.inputs import at
from tests.policy.scene import UUID, WEB1, WEB2, Scene


def source() -> Scene:
    scene = Scene()
    scene.step(inputs.moves(scene.later()))
    return scene


def target() -> Scene:
    scene = Scene(has_run=False)
    scene.step(inputs.moves(scene.later(), is_source=False))
    scene.step(inputs.ran(scene.later(), WEB1))
    return scene


def tenure_of(scene: Scene) -> str:
    held = scene.web.protection
    return f"{held.tenure.state} {held.tenure.wanted} {held.tenure.revision}" if held else "none"


def test_from_the_order_on_this_host_starts_nothing_of_it() -> None:
    scene = source()
    assert tenure_of(scene) == "migrating running 1"
    assert promise.obstacle(scene.lawful.decider.world, scene.web) == "its tenure is migrating"


def test_its_end_here_is_told_to_nobody_while_it_moves() -> None:
    scene = source()
    assert scene.kill() == []
    assert scene.open_alarms == set()


def test_what_moved_away_is_another_hosts_and_nothing_was_wrong() -> None:
    scene = source()
    scene.step(inputs.stopped(scene.later(), WEB1, moved_away=True))
    scene.step(inputs.ended(scene.later(), WEB1))
    outranked = CopyOutranked(at=at(scene.later()), vm=UUID, generation=2, holder="beta")
    said = scene.step(outranked, inputs.moved(scene.later(), generation=2, is_held=False))
    assert not [one for one in said if isinstance(one, Report | TellTenure)]
    assert (scene.web.protection, scene.web.outranked, scene.open_alarms) == (None, 2, set())


def test_one_that_was_undone_is_held_as_before() -> None:
    scene = source()
    scene.step(inputs.moved(scene.later()))
    assert tenure_of(scene) == "held running 2"
    scene.kill()
    assert scene.open_alarms == {"vm-gone"}
    assert scene.state() is VmState.PROVING


def test_what_died_while_it_moved_is_told_once_and_starts_again_here() -> None:
    scene = source()
    scene.kill()
    said = scene.step(inputs.moved(scene.later(), is_lost=True))
    [alarm] = [one.alarm for one in said if isinstance(one, Report)]
    assert alarm.condition == "vm-gone"
    assert "neither host has it" not in alarm.text, "what was seen of it says more"
    assert any(isinstance(one, ProveGone) for one in said)
    assert [one for one in scene.prove() if isinstance(one, RestartHere)]
    assert scene.step(inputs.moved(scene.later(), is_lost=True)) == []


def test_what_left_and_came_nowhere_is_told_and_starts_again_here() -> None:
    scene = source()
    scene.step(inputs.stopped(scene.later(), WEB1, moved_away=True))
    scene.step(inputs.ended(scene.later(), WEB1))
    said = scene.step(inputs.moved(scene.later(), is_lost=True))
    told = [one.alarm for one in said if isinstance(one, Report)]
    assert {one.condition for one in told} == {"vm-gone"}
    assert "ended while it moved: neither host has it" in told[0].text
    assert scene.state() is VmState.PROVING


def test_what_somebody_stopped_while_it_moved_stays_stopped() -> None:
    scene = source()
    scene.step(inputs.stopped(scene.later(), WEB1), inputs.ended(scene.later(), WEB1))
    said = scene.step(inputs.moved(scene.later(), is_lost=True))
    [tells] = [one for one in said if isinstance(one, TellTenure)]
    assert tells.tenure.wanted is Wanted.STOPPED
    assert scene.open_alarms == set()


def test_an_end_that_was_not_heard_of_is_learned_from_the_next_grant() -> None:
    scene = source()
    scene.kill()
    again = inputs.granted(scene.later())
    tenure = structs.replace(again.protection.tenure, revision=2)
    scene.step(structs.replace(again, protection=structs.replace(again.protection, tenure=tenure)))
    assert tenure_of(scene) == "held running 2"
    assert scene.open_alarms == {"vm-gone"}


def test_a_grant_of_the_migration_itself_changes_nothing() -> None:
    scene = source()
    again = inputs.granted(scene.later())
    tenure = structs.replace(again.protection.tenure, revision=1, state=TenureState.MIGRATING)
    scene.step(structs.replace(again, protection=structs.replace(again.protection, tenure=tenure)))
    assert tenure_of(scene) == "migrating running 1"


def test_a_late_order_is_refused() -> None:
    scene = source()
    scene.step(inputs.moved(scene.later()))
    late = inputs.moves(scene.later())
    world = scene.lawful.decider.world
    assert moving.refusal(world, late) == "its tenure has changed meanwhile"
    newer = inputs.moves(scene.later(), revision=3)
    assert moving.refusal(world, newer) == ""
    scene.kill()
    assert moving.refusal(world, newer) != ""


def test_what_came_in_half_and_went_was_never_this_hosts() -> None:
    scene = target()
    scene.step(inputs.moved(scene.later(), is_held=False))
    scene.step(inputs.puzzling(scene.later(2_000), WEB1), inputs.ended(scene.later(), WEB1))
    assert scene.open_alarms == set()


def test_its_end_before_the_migration_has_ended_is_told_to_nobody_either() -> None:
    scene = target()
    scene.kill()
    scene.step(inputs.moved(scene.later(), is_held=False))
    assert scene.open_alarms == set()


def test_what_has_come_is_held_here_and_its_death_is_told() -> None:
    scene = target()
    scene.step(inputs.granted(scene.later(), generation=2))
    scene.step(inputs.moved(scene.later(), generation=2))
    assert tenure_of(scene) == "held running 2"
    scene.kill()
    assert scene.open_alarms == {"vm-gone"}


def test_what_came_and_died_before_this_host_was_told_is_told_then() -> None:
    scene = target()
    scene.kill()
    scene.step(inputs.granted(scene.later(), generation=2))
    scene.step(inputs.moved(scene.later(), generation=2))
    assert scene.open_alarms == {"vm-gone"}


def test_a_host_that_runs_it_lets_no_other_copy_in() -> None:
    scene = Scene()
    order = inputs.moves(scene.later(), is_source=False)
    assert moving.refusal(scene.lawful.decider.world, order) == "it runs here already"


def test_it_comes_back_to_a_host_that_it_left() -> None:
    scene = source()
    scene.step(inputs.stopped(scene.later(), WEB1, moved_away=True))
    scene.step(inputs.ended(scene.later(), WEB1))
    scene.step(
        CopyOutranked(at=at(scene.later()), vm=UUID, generation=2, holder="beta"),
        inputs.moved(scene.later(), generation=2, is_held=False),
    )
    scene.step(inputs.moves(scene.later(), generation=2, revision=7, is_source=False))
    scene.step(inputs.ran(scene.later(), WEB2))
    scene.step(inputs.granted(scene.later(), generation=3))
    scene.step(inputs.moved(scene.later(), generation=3))
    assert tenure_of(scene) == "held running 2"
    scene.kill(WEB2)
    assert scene.open_alarms == {"vm-gone"}


def test_who_came_without_hearing_so_is_held_from_the_next_grant_on() -> None:
    scene = target()
    scene.step(inputs.granted(scene.later(), generation=2))
    assert scene.web.moves == ""
    scene.kill()
    assert scene.open_alarms == {"vm-gone"}


def test_what_fell_with_its_host_while_it_moved_is_told_once_the_next_boot_holds_it() -> None:
    scene = source()
    scene.step(inputs.booted(scene.later(), "boot-2"))
    scene.step(inputs.failed(scene.later(), WEB1), inputs.ended(scene.later(), WEB1))
    assert scene.open_alarms == set()
    again = inputs.granted(scene.later(), boot="boot-2").protection
    newer = structs.replace(again, tenure=structs.replace(again.tenure, revision=3))
    said = scene.step(ProtectionGranted(at=at(scene.later()), protection=newer, by="ann"))
    assert [one.alarm.condition for one in said if isinstance(one, Report)] == ["vm-gone"]
    assert (tenure_of(scene), scene.web.moves) == ("held running 3", "")
    assert any(isinstance(one, ProveGone) for one in said)


def test_whoever_was_to_let_it_in_and_is_told_to_start_it_has_it_from_then_on() -> None:
    scene = Scene(has_run=False)
    scene.step(inputs.moves(scene.later(), is_source=False))
    scene.step(inputs.ordered(scene.later(), generation=3))
    assert (scene.web.moves, scene.state()) == ("", VmState.PROVING)


def test_what_was_moved_away_by_hand_and_lost_there_starts_again_here() -> None:
    scene = Scene()
    scene.step(inputs.stopped(scene.later(), WEB1, moved_away=True))
    scene.step(inputs.ended(scene.later(), WEB1))
    assert tenure_of(scene) == "migrating running 1"
    said = scene.step(inputs.moved(scene.later(), is_lost=True))
    assert [one.alarm.condition for one in said if isinstance(one, Report)] == ["vm-gone"]
    assert tenure_of(scene) == "held running 2"
    assert any(isinstance(one, ProveGone) for one in said)
    assert scene.step(inputs.moved(scene.later(), is_lost=True)) == []


# Moved by somebody else (virsh, Nova): libvirt's job says so.


def found() -> Scene:
    scene = Scene()
    scene.step(inputs.move_seen(scene.later()))
    return scene


def test_what_somebody_else_moves_is_told_as_it_begins() -> None:
    scene = Scene()
    [told] = scene.step(inputs.move_seen(scene.later()))
    assert isinstance(told, TellTenure)
    assert told.tenure.state is TenureState.MIGRATING
    assert tenure_of(scene) == "migrating running 1"
    assert scene.step(inputs.move_seen(scene.later())) == [], "once"
    world = scene.lawful.decider.world
    assert promise.obstacle(world, scene.web) == "its tenure is migrating"


def test_a_move_of_somebody_else_that_fails_leaves_it_held_here() -> None:
    scene = found()
    [told] = scene.step(inputs.move_seen(scene.later(), is_under_way=False))
    assert isinstance(told, TellTenure)
    assert tenure_of(scene) == "held running 2"
    scene.kill()
    assert scene.state() is VmState.PROVING


def test_what_fails_while_somebody_else_moves_it_is_told_at_once_and_waits() -> None:
    scene = found()
    said = scene.kill()
    assert scene.open_alarms == {"vm-gone", "recovery-given-up"}
    assert not [one for one in said if isinstance(one, ProveGone | RestartHere)]
    said = scene.step(inputs.move_seen(scene.later(), is_under_way=False))
    assert tenure_of(scene) == "held running 2"
    assert [one for one in said if isinstance(one, ProveGone)], "it starts again here"
    assert scene.open_alarms == {"vm-gone"}


def test_what_fails_and_came_nowhere_by_both_ends_starts_again_here() -> None:
    scene = found()
    scene.kill()
    said = scene.step(inputs.moved(scene.later(), is_lost=True))
    assert [one for one in said if isinstance(one, ProveGone)]
    assert tenure_of(scene) == "held running 2"


def test_what_somebody_else_moved_away_stays_away() -> None:
    scene = found()
    scene.step(inputs.stopped(scene.later(), WEB1, moved_away=True))
    scene.step(inputs.ended(scene.later(), WEB1))
    assert scene.step(inputs.move_seen(scene.later(), is_under_way=False)) == []
    assert tenure_of(scene) == "migrating running 1"


def test_what_is_stopped_on_purpose_while_somebody_else_moves_it_stays_stopped() -> None:
    scene = found()
    scene.step(inputs.stopped(scene.later(), WEB1), inputs.ended(scene.later(), WEB1))
    scene.step(inputs.move_seen(scene.later(), is_under_way=False))
    assert tenure_of(scene) == "held stopped 2"
    assert scene.open_alarms == set()


def test_a_grant_does_not_say_that_it_is_here_while_somebody_else_moves_it() -> None:
    scene = found()
    scene.step(inputs.granted(scene.later()))
    assert tenure_of(scene) == "migrating running 1"


def test_a_host_that_was_booted_meanwhile_does_not_say_that_it_is_here() -> None:
    scene = found()
    scene.step(inputs.booted(scene.later(), "boot-2"))
    assert scene.step(inputs.move_seen(scene.later(), is_under_way=False)) == []
    assert tenure_of(scene) == "migrating running 1"


def test_what_the_leader_moves_is_its_own_to_judge() -> None:
    scene = source()
    assert scene.step(inputs.move_seen(scene.later())) == []
    assert scene.step(inputs.move_seen(scene.later(), is_under_way=False)) == []
    assert tenure_of(scene) == "migrating running 1"


def test_what_is_told_after_a_move_that_came_to_nothing_is_newer_than_what_the_leader_noted() -> (
    None
):
    scene = found()
    scene.step(inputs.move_seen(scene.later(), is_under_way=False))
    scene.step(inputs.moved(scene.later(), revision=3))
    assert tenure_of(scene) == "held running 3"
    scene.step(inputs.moved(scene.later(), revision=2))
    assert tenure_of(scene) == "held running 3", "a repeat, late"


def test_what_is_not_this_hosts_is_not_told_of() -> None:
    scene = Scene(is_protected=False)
    assert scene.step(inputs.move_seen(scene.later())) == []
