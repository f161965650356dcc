"""Policy broken on purpose turns tests red: each mutant is one edit of the source, in a copy.

A law that no mutant breaks is only hoped for. The copy is a whole package of its own, put before
the real one, and the quick tests of policy run on it.
"""

from pathlib import Path

import pytest

from tests.policy.breaking import survivors
from tests.policy.fence_mutants import FENCE_MUTANTS
from tests.policy.hardware_mutants import HARDWARE_MUTANTS
from tests.policy.ladder_mutants import LADDER_MUTANTS
from tests.policy.lease_mutants import LEASE_MUTANTS
from tests.policy.migration_mutants import MIGRATION_MUTANTS
from tests.policy.mutant import Mutant
from tests.policy.order_mutants import ORDER_MUTANTS
from tests.policy.process_mutants import PROCESS_MUTANTS
from tests.policy.site_mutants import SITE_MUTANTS
from tests.policy.vswitch_mutants import VSWITCH_MUTANTS

MUTANTS = (
    Mutant(
        "restarts before the proof",
        "policy/recovery.py",
        "    if record.state in (VmState.FAILED, VmState.ENDING):\n"
        "        return prove(world, record)",
        "    if record.state in (VmState.FAILED, VmState.ENDING):\n"
        "        move(world, record, VmEvent.PROVE)\n"
        "        from holdfast.facts.tenure import LocalProof\n"
        '        life = record.life.key if record.life else ""\n'
        "        made_up = LocalProof(vm=record.vm, boot='', incarnation=life, shown=(), at=0)\n"
        "        return _start(world, record, made_up)",
    ),
    Mutant(
        "takes a proof about another life",
        "policy/recovery.py",
        "    is_about_it = proof.boot == world.boot and proof.incarnation == record.life.key",
        "    is_about_it = proof.boot == world.boot",
    ),
    Mutant(
        "starts it by a proof without its disks",
        "policy/recovery.py",
        "    if not is_about_it or (proof.is_of_copy and not record.is_copy):",
        "    if not is_about_it:",
        ("tests/policy/test_ordered.py",),
    ),
    Mutant(
        "takes a proof of another boot",
        "policy/recovery.py",
        "    is_about_it = proof.boot == world.boot and proof.incarnation == record.life.key",
        "    is_about_it = proof.incarnation == record.life.key",
    ),
    Mutant(
        "reports after recovery",
        "policy/faults.py",
        "    return [*reports, *recovery.begin(world, record, is_live=is_live, is_sure=is_sure)]",
        "    return [*recovery.begin(world, record, is_live=is_live, is_sure=is_sure), *reports]",
    ),
    Mutant(
        "ignores the budget",
        "policy/promise.py",
        "    if is_counting and restarts_in_window(world, record) >= group.restarts:",
        "    if is_counting and restarts_in_window(world, record) > 1_000:",
    ),
    Mutant(
        "ignores a disarm",
        "policy/holding.py",
        "    if world.disarm is not None:\n        move(world, record, VmEvent.HOLD)",
        "    if False and world.disarm is not None:\n        move(world, record, VmEvent.HOLD)",
    ),
    Mutant(
        "revives what was stopped on purpose",
        "policy/promise.py",
        "    if tenure.wanted is not Wanted.RUNNING:",
        "    if False and tenure.wanted is not Wanted.RUNNING:",
    ),
    Mutant(
        "takes its own destroy for a wish",
        "policy/decide.py",
        "        if record.ended_by_us == stop.life.key and not stop.moved_away:",
        "        if False and record.ended_by_us == stop.life.key:",
    ),
    Mutant(
        "does not hear that somebody wanted this end",
        "policy/decide.py",
        "        if outcome.wanted and can_be_a_wish and not record.is_copy and not record.runs:",
        "        if False and outcome.wanted and can_be_a_wish:",
    ),
    Mutant(
        "does not raise an alarm's revision",
        "policy/alarms.py",
        "        revision=known.revision + 1,\n        state=AlarmState.CLEARED,",
        "        revision=known.revision,\n        state=AlarmState.CLEARED,",
    ),
    Mutant(
        "leaves alarms of a closed incident open",
        "policy/case_files.py",
        "list(alarms.clear_of_incident(world, closed.id, closed.step))",
        "[]",
    ),
    Mutant(
        "closes the incident before the answer",
        "policy/service.py",
        "        told += stages.await_answer(world, record)\n    if is_late:",
        '        told += case_files.close(world, record, "it runs")\n    if is_late:',
    ),
    Mutant(
        "starts twice at once",
        "policy/recovery.py",
        "    if record.start_in_flight:\n        move(",
        "    if False and record.start_in_flight:\n        move(",
    ),
    Mutant(
        "starts in a boot that was not granted",
        "policy/promise.py",
        "    return tenure.host == world.host and tenure.boot != world.boot",
        "    return False",
    ),
    Mutant(
        "ends a stuck VM while disarmed",
        "policy/recovery.py",
        "    held = holding.held(world, record)\n    if held is not None:\n        return held\n"
        "    move(world, record, VmEvent.END)",
        "    move(world, record, VmEvent.END)",
    ),
    Mutant(
        "restarts for a disk's fault",
        "policy/faults.py",
        "    is_vm = fault.subject.kind is SubjectKind.VM",
        "    is_vm = True",
    ),
    Mutant(
        "closes on the answer of a life that has failed",
        "policy/recovery.py",
        "    record.is_awaited = False\n    record.is_live_fault = is_live and record.runs",
        "    record.is_live_fault = is_live and record.runs",
    ),
    Mutant(
        "keeps the clock of the boot before",
        "policy/orders.py",
        "    before, world.now = world.now, fact.at",
        "    before = world.now",
    ),
    Mutant(
        "forgets a doubt when its hold ends",
        "policy/recovery.py",
        "    if record.is_unexplained:  # What held",
        "    if False and record.is_unexplained:  # What held",
        ("tests/policy/test_words_kept.py",),
    ),
    Mutant(
        "starts what moved away",
        "policy/promise.py",
        "    if record.is_elsewhere:\n"
        '        return "it was moved to another host"\n'
        "    if tenure.state is not TenureState.HELD:\n",
        "    if False and tenure.state is not TenureState.HELD:\n",
        ("tests/policy/test_words_kept.py",),
    ),
    Mutant(
        "wishes for what moved away",
        "policy/service.py",
        "    if state is None and before.state is not TenureState.HELD:",
        "    if False and state is None:",
        ("tests/policy/test_words_kept.py",),
    ),
    Mutant(
        "forgets with its protection that it moved away",
        "policy/orders.py",
        "    if record.is_elsewhere:\n",
        "    if False and record.is_elsewhere:\n",
        ("tests/policy/test_words_kept.py",),
    ),
    Mutant(
        "keeps the revision of a changed tenure",
        "policy/service.py",
        "    tenure = msgspec.structs.replace(tenure, revision=before.revision + 1)\n",
        "",
        ("tests/policy/test_words_kept.py",),
    ),
    Mutant(
        "lets a start happen that people have forbidden",
        "policy/promise.py",
        "    reason = obstacle(world, record, is_counting=False)\n    if reason:",
        "    reason = obstacle(world, record, is_counting=False)\n    if False and reason:",
        ("tests/policy/test_words_kept.py",),
    ),
    Mutant(
        "lets a start happen in another state of things",
        "policy/promise.py",
        "    is_same = record.start_in_flight",
        '    return ""\n    is_same = record.start_in_flight',
        ("tests/policy/test_words_kept.py",),
    ),
    Mutant(
        "repeats a start that may yet happen",
        "policy/decide.py",
        "            owner.start_unknown_at = self.world.now\n",
        '            owner.start_in_flight = ""\n',
        ("tests/policy/test_words_kept.py",),
    ),
    Mutant(
        "believes a look made before a start was doubted",
        "policy/recovery.py",
        "proof.at > record.start_unknown_at",
        "proof.at > 0",
        ("tests/policy/test_words_kept.py",),
    ),
    Mutant(
        "turns a person's word around by a late start",
        "policy/service.py",
        "    if is_late:",
        "    if False and is_late:",
        ("tests/policy/test_words_kept.py",),
    ),
    Mutant(
        "counts a refused start as an attempt",
        "policy/recovery.py",
        "    if record.state is VmState.STARTING and is_refused:",
        "    if False and is_refused:",
        ("tests/policy/test_words_kept.py",),
    ),
    Mutant(
        "raises at an impossible step",
        "policy/stages.py",
        "        return False\n    if record.state is before:",
        "        raise\n    if record.state is before:",
        ("tests/policy/test_words_kept.py",),
    ),
    *ORDER_MUTANTS,
    *SITE_MUTANTS,
    *FENCE_MUTANTS,
    *LADDER_MUTANTS,
    *PROCESS_MUTANTS,
    *VSWITCH_MUTANTS,
    *HARDWARE_MUTANTS,
    *MIGRATION_MUTANTS,
    *LEASE_MUTANTS,
)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_mutant_turns_tests_red(tmp_path: Path) -> None:
    assert survivors(MUTANTS, tmp_path) == []


@pytest.mark.slow
def test_the_copy_is_green_when_nothing_is_broken(tmp_path: Path) -> None:
    """The mutants turn red by their edit, not by being a copy; and the copy is what is tested."""
    same = Mutant("nothing", "policy/promise.py", "def not_ours(", "def not_ours(")
    broken = Mutant("all", "policy/decide.py", "class Decider:", "class Decided:")
    said = survivors([same, broken], tmp_path)
    assert len(said) == 2, "what cannot be imported proves nothing"
    assert "exit 0" in said[0]
