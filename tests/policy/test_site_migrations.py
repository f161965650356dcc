"""A VM that moves is begun once, and held by one host again when both ends have said so.

covers: H2 H9
"""

import pytest
from msgspec import structs

from holdfast.facts.cpus import CpuNeeds, HostCpu
from holdfast.facts.migrations import End, MigrationStep
from holdfast.facts.tenure import RESTORED, TenureState, Wanted
from holdfast.policy import timing
from tests.policy.fence_scene import NEEDS
from tests.policy.migration_scene import ROOMY, SIZE, MigrationScene

HERE, AWAY, DEAD, NO_WORD = End.RUNS, End.NOTHING, End.DEAD, End.UNKNOWN


def test_it_goes_to_the_host_with_most_room_and_is_held_there() -> None:
    scene = MigrationScene()
    assert scene.begin("web1") == ""
    assert scene.holder("web1") == "h1 migrating (1)"
    scene.say("web1", AWAY, HERE)
    assert scene.did == [
        "put begun of web1 to h3",
        "move web1 from h1 to h3",
        "put done of web1 to h3",
        "tell h1 and h3 that web1 is done",
    ]
    assert scene.holder("web1") == "h3 held (2)"
    assert scene.world.migrations["web1"].pause_ms == 80


def test_one_that_keeps_its_cpu_moves_to_an_equal_one() -> None:
    scene = MigrationScene()
    for host, identity in (("h1", "a"), ("h2", "a"), ("h3", "b"), ("h4", "b")):
        cpu = HostCpu(kind="kvm", arch="x86_64", identity=identity)
        scene.size(host, structs.replace(ROOMY if host == "h3" else SIZE, processors=(cpu,)))
    same = CpuNeeds(kind="kvm", arch="x86_64", mode="host-passthrough")
    scene.promise("web1", "h1", structs.replace(NEEDS, cpu=same, live=same))
    assert scene.begin("web1", "h3") == (
        "not to h3: it has no CPU equal to that of its host, which a VM with host-passthrough"
        " keeps while it moves"
    )
    assert scene.begin("web1") == ""
    assert scene.did[0] == "put begun of web1 to h2"


def test_one_that_took_its_hosts_model_moves_where_all_of_it_is() -> None:
    scene = MigrationScene()
    for host, features in (("h1", ("avx2", "sse2")), ("h2", ("avx2", "sse2")), ("h3", ("sse2",))):
        cpu = HostCpu(kind="kvm", arch="x86_64", features=features, models={"EPYC": ()})
        scene.size(host, structs.replace(ROOMY if host == "h3" else SIZE, processors=(cpu,)))
    asks = CpuNeeds(kind="kvm", arch="x86_64", mode="host-model")
    has = structs.replace(asks, mode="custom", model="EPYC", requires=("avx2",))
    scene.promise("web1", "h1", structs.replace(NEEDS, cpu=asks, live=has))
    assert scene.begin("web1", "h3") == "not to h3: it has no CPU with avx2"
    assert scene.begin("web1", "h2") == ""


def test_a_move_that_fails_leaves_it_where_it_is() -> None:
    scene = MigrationScene()
    scene.refuses["web1"] = "no route to it"
    scene.begin("web1", "h2")
    scene.say("web1", HERE, AWAY)
    assert scene.holder("web1") == "h1 held (1)"
    reason = scene.world.migrations["web1"].reason
    assert reason == "no route to it; h1 has it; h2 has nothing of it"


def test_one_that_had_moved_before_it_was_cancelled_says_so() -> None:
    scene = MigrationScene()
    scene.begin("web1", "h2")
    begun = scene.world.migrations["web1"]
    scene.migration_set(structs.replace(begun, is_cancelled=True, by="ann"))
    scene.say("web1", AWAY, HERE)
    moved = scene.world.migrations["web1"]
    assert moved.step is MigrationStep.DONE
    assert moved.reason.startswith("ann cancelled it too late; h1 has nothing of it; h2 has it")


def test_a_move_that_came_out_of_a_backup_is_not_followed_before_both_ends_have_greeted() -> None:
    scene = MigrationScene()
    scene.begin("web1", "h2")
    moving = scene.tenures["web1"]
    scene.hold("web1", structs.replace(moving, boot=RESTORED))
    scene.did.clear()
    scene.lead(2)
    scene.say("web1", AWAY, AWAY)
    scene.wait(60_000)
    assert scene.did == []
    scene.hold("web1", structs.replace(moving, revision=9))
    scene.wait(60_000)
    assert "put undone of web1 to h2" in scene.did


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (NO_WORD, HERE),
        (HERE, NO_WORD),
        (AWAY, NO_WORD),
        (NO_WORD, AWAY),
        (End.MOVING, AWAY),
        (End.MOVING, HERE),
        (NO_WORD, NO_WORD),
    ],
)
def test_without_a_word_of_both_ends_nothing_is_decided(source: End, target: End) -> None:
    scene = MigrationScene()
    scene.begin("web1", "h2")
    scene.say("web1", source, target)
    scene.wait(60_000)
    assert scene.holder("web1") == "h1 migrating (1)"


def test_what_neither_end_has_is_held_by_the_source_which_starts_it_again() -> None:
    scene = MigrationScene()
    scene.begin("web1", "h2")
    scene.say("web1", AWAY, AWAY)
    assert scene.holder("web1") == "h1 held (1)"


def test_what_somebody_moved_on_to_a_third_host_is_held_there_and_started_nowhere() -> None:
    scene = MigrationScene()
    scene.begin("web1", "h2")
    scene.runs("h4", "web1")
    scene.ends["web1 to h4"] = AWAY, HERE
    scene.say("web1", AWAY, AWAY)
    assert scene.did[2:] == [
        "put undone of web1 to h2",
        "tell h1 and h2 that web1 is undone",
        "put begun of web1 to h4",
        "put done of web1 to h4",
        "tell h1 and h4 that web1 is done",
    ]
    assert scene.holder("web1") == "h4 held (2)"


def test_what_runs_at_both_ends_is_a_persons_until_one_is_left() -> None:
    scene = MigrationScene()
    scene.begin("web1", "h2")
    scene.say("web1", HERE, HERE)
    assert scene.open_alarms == {}
    scene.wait(600)
    assert scene.holder("web1") == "h1 migrating (1)"
    assert "runs on h1 and on h2" in scene.open_alarms["vm-runs-twice web1"]
    scene.say("web1", AWAY, HERE)
    assert scene.holder("web1") == "h2 held (2)"
    assert scene.open_alarms == {}


def test_what_moves_between_the_words_of_both_ends_does_not_run_twice() -> None:
    """Its source was asked just before it left, and its target just after it came."""
    scene = MigrationScene()
    scene.begin("web1", "h2")
    scene.say("web1", HERE, HERE)
    scene.say("web1", AWAY, HERE)
    assert scene.holder("web1") == "h2 held (2)"
    assert not any("in doubt" in done for done in scene.did)


def test_a_leader_that_comes_ends_what_was_over_before_it_came() -> None:
    """The one before it told that web1 runs twice, and was not there when one of both ended."""
    before = MigrationScene()
    before.begin("web1", "h2")
    before.say("web1", HERE, HERE)
    before.wait(600)
    [alarm] = [one for one in before.world.reported.values() if before.world.is_open(one.key)]
    scene = MigrationScene()
    scene.share(alarm)
    assert "vm-runs-twice web1" in scene.open_alarms
    scene.lead(7)
    scene.wait(timing.TAKE_OVER_MS)
    assert scene.open_alarms == {}


def test_a_source_that_dies_is_fenced_first_and_a_target_that_resumed_wins() -> None:
    scene = MigrationScene()
    scene.begin("web1", "h3")
    scene.say("web1", NO_WORD, HERE)
    scene.wrong("h1", "host-lost")
    scene.wait(3_100)
    assert scene.holder("web1") == "h1 migrating (1)"
    assert "switch off h1" in scene.did
    scene.off("h1")
    scene.wait(1_200)
    assert scene.holder("web1") == "h3 held (2)"
    assert not [line for line in scene.did if "placed" in line]


def test_a_source_that_dies_before_anything_came_over_starts_once_elsewhere() -> None:
    scene = MigrationScene()
    scene.begin("web1", "h3")
    scene.say("web1", NO_WORD, NO_WORD)
    scene.lose("h1")
    scene.wait(1_200)
    assert not [line for line in scene.did if "placed" in line], "the target has not said a word"
    scene.say("web1", NO_WORD, AWAY)
    assert [line for line in scene.did if "placed" in line] == ["put placed of web1 on h3 (2)"]


def test_a_target_that_dies_is_fenced_and_the_source_keeps_the_vm() -> None:
    scene = MigrationScene()
    scene.runs("h2")
    scene.hold("web2", structs.replace(scene.tenures["web2"], wanted=Wanted.STOPPED))
    scene.begin("web1", "h2")
    scene.say("web1", HERE, NO_WORD)
    scene.lose("h2")
    scene.wait(1_200)
    assert scene.holder("web1") == "h1 held (1)"
    assert not [line for line in scene.did if "placed" in line]


def test_what_died_with_its_target_starts_once_elsewhere() -> None:
    scene = MigrationScene()
    scene.begin("web1", "h2")
    scene.say("web1", AWAY, NO_WORD)
    scene.runs("h1")
    scene.lose("h2")
    scene.wait(1_200)
    placed = [line for line in scene.did if "placed of web1" in line]
    assert placed == ["put placed of web1 on h3 (3)"]


def test_a_proof_of_one_end_alone_starts_nothing() -> None:
    scene = MigrationScene()
    scene.begin("web1", "h2")
    scene.say("web1", NO_WORD, NO_WORD)
    scene.lose("h1")
    scene.wait(60_000)
    assert scene.holder("web1") == "h1 migrating (1)"
    assert not [line for line in scene.did if "placed of web1" in line]


def test_a_new_leader_asks_what_came_of_it_and_moves_nothing_again() -> None:
    scene = MigrationScene()
    scene.begin("web1", "h2")
    scene.did.clear()
    scene.world.moving.clear()  # It is another controller, which told nobody.
    scene.lead(2)
    scene.say("web1", HERE, AWAY)
    assert scene.did == [
        "put begun of web1 to h2",
        "put undone of web1 to h2",
        "tell h1 and h2 that web1 is undone",
    ]


def test_what_virsh_moved_is_held_where_it_came_to() -> None:
    scene = MigrationScene()
    moved = structs.replace(scene.tenures["web1"], state=TenureState.MIGRATING, revision=5)
    scene.runs("h1")
    scene.hold("web1", moved)
    assert scene.did == []
    scene.ends["web1"] = AWAY, HERE
    scene.runs("h2", "web1", "web2")
    scene.wait(600)
    assert scene.holder("web1") == "h2 held (2)"
    assert "move web1 from h1 to h2" not in scene.did


def test_why_it_cannot_move_is_said() -> None:
    scene = MigrationScene()
    scene.promise("local", "h1", structs.replace(NEEDS, obstacle="its disk is a local file"))
    scene.runs("h1", "web1", "local")
    assert scene.begin("local") == "its disk is a local file"
    assert scene.begin("web1", "h1") == "not to h1: it runs there"
    scene.size("h2", structs.replace(SIZE, memory_mib=1_500))
    assert scene.begin("web1", "h2") == ("not to h2: it has 500 MiB left, and 1000 are needed")
    assert scene.begin("nobody") == (
        "it is not protected: nobody keeps who may run it while it moves"
    )
    scene.runs("h1", "local")
    assert scene.begin("web1") == "it does not run: only what runs can be moved"
    scene.wrong("h1", "host-lost")
    assert scene.begin("web1") == "its host does not answer"


def test_a_host_without_certificates_takes_no_part() -> None:
    scene = MigrationScene()
    scene.can_move = False
    scene.size("h2")
    assert "without certificates" in scene.begin("web1", "h2")
    scene.size("h1")
    assert "without certificates" in scene.begin("web1", "h3")


def test_one_moves_from_a_host_at_a_time_and_one_to_it() -> None:
    scene = MigrationScene()
    scene.promise("more", "h1")
    scene.runs("h1", "web1", "more")
    scene.begin("web1", "h2")
    assert scene.begin("more") == "another VM moves from or to its host at this moment"
    assert scene.begin("web4", "h2") == "another VM moves from or to h2 at this moment"
    assert scene.begin("web4", "h3") == ""


def test_four_move_at_once_in_a_site() -> None:
    scene = MigrationScene(hosts=10)
    for number in (1, 2, 4, 5):
        assert scene.begin(f"web{number}", f"h{number + 5}") == ""
    assert scene.begin("web3", "h8") == "4 VMs move at this moment: no more move at once"


def test_a_drained_host_is_left_by_one_vm_after_the_other() -> None:
    scene = MigrationScene()
    for vm in ("more", "local"):
        scene.promise(vm, "h1")
    scene.promise("local", "h1", structs.replace(NEEDS, obstacle="its disk is a local file"))
    scene.runs("h1", "web1", "more", "local")
    scene.drain("h1")
    assert scene.did == ["put begun of web1 to h3", "move web1 from h1 to h3"]
    scene.say("web1", AWAY, HERE)
    assert "put begun of more to h3" in scene.did
    scene.say("more", AWAY, HERE)
    assert scene.world.moving["local"].stuck == "its disk is a local file"
    assert scene.holder("local") == "h1 held (1)"


def test_what_lives_elsewhere_is_not_moved_since_its_host_of_before_is_drained() -> None:
    """That host died, or has a copy of it still: it is listed there."""
    scene = MigrationScene()
    scene.promise("web4", "h4")
    scene.runs("h4", "web4")
    scene.runs("h1", "web4")
    scene.drain("h1")
    scene.wait(70_000)
    assert scene.did == []


def test_what_the_store_was_asked_for_counts_before_it_answers() -> None:
    scene = MigrationScene()
    scene.promise("more", "h1")
    scene.runs("h1", "web1", "more")
    scene.is_stored = False
    scene.drain("h1")
    scene.runs("h4", "web4")
    scene.wait(1_000)
    assert scene.did == ["put begun of web1 to h3"]


def test_nothing_is_placed_on_a_drained_host_until_it_is_undrained() -> None:
    scene = MigrationScene()
    scene.runs("h3")
    scene.drain("h3")
    assert scene.begin("web1", "h3") == "not to h3: it is in maintenance (drained)"
    scene.undrain("h3")
    assert scene.begin("web1", "h3") == ""


def test_a_vm_that_did_not_move_is_left_alone_for_a_while_by_a_drain() -> None:
    scene = MigrationScene()
    scene.refuses["web1"] = "no route"
    scene.ends["web1"] = HERE, AWAY
    scene.drain("h1")
    scene.wait(30_000)
    assert scene.did.count("move web1 from h1 to h3") == 1
    assert scene.world.moving["web1"].stuck.startswith("it did not move: no route")
    scene.wait(60_000)
    assert scene.did.count("move web1 from h1 to h3") == 2


def test_what_the_store_does_not_answer_is_asked_again() -> None:
    scene = MigrationScene()
    scene.begin("web1", "h2")
    scene.is_stored = False
    scene.say("web1", AWAY, HERE)
    scene.wait(5_000)
    assert scene.did.count("put done of web1 to h2") >= 2
    scene.is_stored = True
    scene.wait(2_500)
    assert scene.holder("web1") == "h2 held (2)"


def test_what_others_move_is_started_nowhere_while_it_is_on_its_way() -> None:
    """Its source dies in the middle of it: only both ends can say where it is."""
    scene = MigrationScene()
    moves = structs.replace(scene.tenures["web1"], state=TenureState.MIGRATING, revision=5)
    scene.hold("web1", moves)
    scene.lose("h1")
    assert not [line for line in scene.did if "web1" in line], "nobody knows where it goes"
    scene.runs("h2", "web2", "web1")  # It tells of what came, as it does of all that runs.
    assert "put begun of web1 to h2" in scene.did
    scene.say("web1", DEAD, HERE)
    assert scene.holder("web1") == "h2 held (2)"
    assert not [line for line in scene.did if line.startswith(("put placed of web1", "start web1"))]
