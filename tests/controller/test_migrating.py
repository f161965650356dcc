"""A move is committed before anybody is told; its end is committed only with both ends' words.

covers: H2 H9
"""

from msgspec import structs

from holdfast.facts import actions as act
from holdfast.facts import outcomes as came
from holdfast.facts.fencing import Fence, FenceStep
from holdfast.facts.migrations import End, MigrationStep
from holdfast.facts.tenure import RESTORED, TenureState, Wanted
from tests.controller.migrating_scene import DONE, HELD, PROOF, UNDONE, Scene, migration, run


def test_what_moves_is_committed_with_its_tenure() -> None:
    async def work(scene: Scene) -> None:
        await scene.put_step()
        assert scene.step is MigrationStep.BEGUN
        assert (scene.tenure.state, scene.tenure.revision) == (TenureState.MIGRATING, 4)
        begun = scene.registry.migration("web")
        assert begun is not None
        assert begun.begun_utc_ms

    run(work)


def test_what_does_not_fit_the_store_any_more_does_not_begin() -> None:
    async def work(scene: Scene) -> None:
        for changes in (
            {"state": TenureState.RECOVERING},
            {"wanted": Wanted.STOPPED},
            {"host": "h3"},
            {"generation": 2},
            {"boot": "b9"},
        ):
            await scene.hold(structs.replace(HELD, **changes))
            await scene.put_step()
            assert scene.step is None, changes
        await scene.hold(HELD)
        await scene.put_step(number=2)
        assert scene.step is None
        await scene.put_step(term=(scene.term or 0) + 1)
        assert scene.step is None

    run(work)


def test_one_that_came_out_of_a_backup_ends_only_once_its_host_holds_it_again() -> None:
    async def work(scene: Scene) -> None:
        await scene.put_step()
        moving = scene.tenure
        await scene.hold(structs.replace(moving, boot=RESTORED))
        for ends in (DONE, UNDONE):
            await scene.put_step(**ends)
            assert scene.step is MigrationStep.BEGUN
        await scene.hold(moving)
        await scene.put_step(**DONE)
        assert scene.step is MigrationStep.DONE

    run(work)


def test_a_host_that_another_vm_moves_from_or_to_takes_part_in_no_second_move() -> None:
    async def work(scene: Scene) -> None:
        for ends in ({"source": "h1", "target": "h3"}, {"source": "h4", "target": "h2"}):
            other = migration(scene.term, vm="db", name="db", **ends)
            await scene.put("migrations/db", other)
            await scene.put_step()
            assert scene.step is None, ends
        await scene.put("migrations/db", migration(scene.term, vm="db", **UNDONE))
        await scene.put_step()
        assert scene.step is MigrationStep.BEGUN

    run(work)


def test_both_ends_are_told_the_target_first() -> None:
    async def work(scene: Scene) -> None:
        await scene.put_step()
        await scene.do(act.Migrate(migration=migration(scene.term)))
        assert scene.questions == [("h2", "migrate-in"), ("h1", "migrate-out")]
        _, _, args = scene.asked[1]
        assert args["place"] == {"host": "h2", "address": "10.0.0.2", "port": 7314}
        [begun] = scene.came
        assert isinstance(begun, came.MoveBegun)
        assert begun.refusal == ""

    run(work)


def test_a_target_that_refuses_keeps_the_source_from_being_told() -> None:
    async def work(scene: Scene) -> None:
        scene.replies["h2", "migrate-in"] = {"refusal": "its disk is not here"}
        await scene.put_step()
        await scene.do(act.Migrate(migration=migration(scene.term)))
        assert scene.questions == [("h2", "migrate-in")]
        [begun] = scene.came
        assert isinstance(begun, came.MoveBegun)
        assert begun.refusal == "its disk is not here"

    run(work)


def test_the_target_is_asked_to_be_done_with_it_only_when_the_source_is() -> None:
    async def work(scene: Scene) -> None:
        await scene.put_step()
        await scene.do(act.LookAtEnds(migration=migration(scene.term)))
        assert scene.questions == [("h1", "migration-look")]
        scene.replies["h1", "migration-look"] = None
        await scene.do(act.LookAtEnds(migration=migration(scene.term)))
        assert ("h2", "migration-look") not in scene.questions
        scene.link("h1")
        scene.replies["h1", "migration-look"] = {"end": "runs", "reason": "no route"}
        scene.replies["h2", "migration-look"] = {"end": "nothing"}
        await scene.do(act.LookAtEnds(migration=migration(scene.term)))
        assert scene.asked[-1][0] == "h2"
        assert scene.asked[-1][2]["is_over"] is True
        newest = scene.came[-1]
        assert isinstance(newest, came.EndsLooked)
        assert (newest.source, newest.target, newest.reason) == (
            End.RUNS,
            End.NOTHING,
            "no route",
        )
        assert [one.source for one in scene.came if isinstance(one, came.EndsLooked)] == [
            End.MOVING,
            End.UNKNOWN,
            End.RUNS,
        ]

    run(work)


def test_of_a_dead_end_nothing_is_asked() -> None:
    async def work(scene: Scene) -> None:
        await scene.put_step()
        scene.replies["h2", "migration-look"] = {"end": "runs", "pause_ms": 80}
        await scene.do(act.LookAtEnds(migration=migration(scene.term), dead=("h1",)))
        assert scene.questions == [("h2", "migration-look")]
        [looked] = scene.came
        assert isinstance(looked, came.EndsLooked)
        assert (looked.source, looked.target, looked.pause_ms) == (End.DEAD, End.RUNS, 80)

    run(work)


def test_one_that_is_done_gives_the_tenure_to_the_target() -> None:
    async def work(scene: Scene) -> None:
        await scene.put_step()
        await scene.put_step(**DONE)
        tenure = scene.tenure
        assert (tenure.host, tenure.boot, tenure.generation, tenure.state) == (
            "h2",
            "b2",
            2,
            TenureState.HELD,
        )
        await scene.do(act.TellEnds(migration=migration(scene.term, **DONE)))
        assert scene.questions == [("h2", "migration-end"), ("h1", "migration-end")]
        assert scene.asked[0][2]["protection"]["tenure"]["generation"] == 2
        assert scene.said == ["web moved to h2: "]

    run(work)


def test_one_that_is_undone_leaves_it_to_the_source() -> None:
    async def work(scene: Scene) -> None:
        await scene.put_step()
        await scene.put_step(**UNDONE)
        tenure = scene.tenure
        assert (tenure.host, tenure.generation, tenure.state, tenure.revision) == (
            "h1",
            1,
            TenureState.HELD,
            5,
        )

    run(work)


def test_no_end_without_a_word_or_a_proof_of_both() -> None:
    async def work(scene: Scene) -> None:
        await scene.put_step()
        for source, target in (
            (End.NOTHING, End.UNKNOWN),
            (End.UNKNOWN, End.RUNS),
            (End.MOVING, End.RUNS),
            (End.RUNS, End.NOTHING),
            (End.DEAD, End.RUNS),
        ):
            await scene.put_step(
                step=MigrationStep.DONE, source_end=source, target_end=target, proofs=(PROOF,)
            )
            assert scene.step is MigrationStep.BEGUN, (source, target)
        assert scene.tenure.state is TenureState.MIGRATING

    run(work)


def test_a_proof_of_a_dead_end_must_be_the_stores_and_cover_its_boot() -> None:
    async def work(scene: Scene) -> None:
        await scene.put_step()
        dead = {**DONE, "source_end": End.DEAD, "proofs": (PROOF,)}
        fence = Fence(
            host="h1",
            name="h1",
            boot="b1",
            incident="i",
            number=1,
            term=scene.term or 0,
            step=FenceStep.OFF,
            reason="it is silent",
            proof=structs.replace(PROOF, boot="b0"),
        )
        await scene.put("fences/h1", fence)
        await scene.put_step(**{**dead, "proofs": (structs.replace(PROOF, boot="b0"),)})
        assert scene.step is MigrationStep.BEGUN, "the proof is of an earlier boot"
        await scene.put("fences/h1", structs.replace(fence, proof=PROOF))
        await scene.put_step(**dead)
        assert scene.tenure.host == "h2"

    run(work)


def test_what_a_third_host_runs_is_held_by_nobody_and_its_source_is_not_told_to_start_it() -> None:
    async def work(scene: Scene) -> None:
        await scene.put_step()
        over = {**UNDONE, "source_end": End.NOTHING, "elsewhere": "h3"}
        await scene.put_step(**over)
        assert scene.step is MigrationStep.UNDONE
        assert (scene.tenure.state, scene.tenure.revision) == (TenureState.MIGRATING, 5)
        await scene.do(act.TellEnds(migration=migration(scene.term, **over)))
        assert scene.questions == [("h2", "migration-end")]
        assert scene.said == ["web is at neither end, and runs on h3: "]

    run(work)


def test_who_held_it_once_and_came_back_meanwhile_greets_anew_when_it_is_over() -> None:
    async def work(scene: Scene) -> None:
        await scene.hold(structs.replace(HELD, generation=2))
        scene.link("h3", tenures=(structs.replace(HELD, host="h3"),))
        scene.link("h4", tenures=(structs.replace(HELD, vm="db", host="h4"),))
        await scene.put_step(generation=2)
        done = {**DONE, "generation": 2}
        await scene.put_step(**done)
        await scene.do(act.TellEnds(migration=migration(scene.term, **done)))
        assert scene.greeted == ["h3"]

    run(work)


def test_a_stop_that_its_host_told_meanwhile_stands() -> None:
    async def work(scene: Scene) -> None:
        await scene.put_step()
        await scene.hold(structs.replace(HELD, wanted=Wanted.STOPPED, revision=4))
        await scene.put_step(**{**UNDONE, "source_end": End.NOTHING})
        assert scene.step is MigrationStep.UNDONE
        assert (scene.tenure.wanted, scene.tenure.state) == (Wanted.STOPPED, TenureState.HELD)

    run(work)


def test_it_runs_at_both_ends_and_moves_on_in_the_store() -> None:
    async def work(scene: Scene) -> None:
        await scene.put_step()
        await scene.put_step(step=MigrationStep.IN_DOUBT, source_end=End.RUNS, target_end=End.RUNS)
        assert scene.step is MigrationStep.IN_DOUBT
        assert scene.tenure.state is TenureState.MIGRATING

    run(work)


def test_who_is_away_at_the_end_hears_it_by_greeting_anew() -> None:
    async def work(scene: Scene) -> None:
        await scene.put_step()
        await scene.put_step(**DONE)
        scene.replies["h1", "migration-end"] = None
        await scene.do(act.TellEnds(migration=migration(scene.term, **DONE)))
        assert scene.greeted == ["h1"]

    run(work)


def test_one_that_is_cancelled_is_called_off_at_the_source() -> None:
    async def work(scene: Scene) -> None:
        assert await scene.migrating.cancel("web", "ann") is False
        await scene.put_step()
        assert await scene.migrating.cancel("web", "ann") is True
        assert scene.questions == [("h1", "migrate-cancel")]
        await scene.put_step(**UNDONE)
        known = scene.registry.migration("web")
        assert known is not None
        assert known.is_cancelled

    run(work)


def test_one_that_was_cancelled_before_it_began_is_not_begun() -> None:
    async def work(scene: Scene) -> None:
        await scene.put_step()
        await scene.migrating.cancel("web", "ann")
        scene.asked.clear()
        await scene.do(act.Migrate(migration=migration(scene.term)))
        assert scene.asked == []

    run(work)


def test_who_does_not_lead_commits_and_tells_nothing() -> None:
    async def work(scene: Scene) -> None:
        await scene.put_step()
        one = migration(scene.term)
        scene.term = None
        await scene.do(act.PutMigration(migration=migration(0, **DONE)))
        await scene.do(act.Migrate(migration=one))
        assert scene.asked == []
        assert scene.step is MigrationStep.BEGUN

    run(work)
