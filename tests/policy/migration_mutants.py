"""Migrations broken on purpose, one edit each; see test_mutants.py."""

from tests.policy.mutant import Mutant

SITE = ("tests/policy/test_site_migrations.py",)
ENDS = ("tests/policy/test_moving.py",)
COMMITS = ("tests/controller/test_migrating.py",)
PROOFS = "policy/proofs.py"
MOVES = "policy/site_migrations.py"
MOVING = "policy/moving.py"

MIGRATION_MUTANTS = (
    Mutant(
        "believes a target alone",
        PROOFS,
        "        case _ if source in GONE and target is End.RUNS:",
        "        case _ if target is End.RUNS:",
        SITE,
    ),
    Mutant(
        "believes a source alone",
        PROOFS,
        "        case _ if target in GONE and source in (*GONE, End.RUNS):",
        "        case _ if source in (*GONE, End.RUNS):",
        SITE,
    ),
    Mutant(
        "takes one copy of two for a success",
        PROOFS,
        "        case End.RUNS, End.RUNS:\n            return MigrationStep.IN_DOUBT\n",
        "        case End.RUNS, End.RUNS:\n            return MigrationStep.DONE\n",
        SITE,
    ),
    Mutant(
        "gives what died with its target back to the source",
        PROOFS,
        "        case End.NOTHING, End.DEAD:\n            return MigrationStep.DONE",
        "        case End.NOTHING, End.DEAD:\n            return MigrationStep.UNDONE",
        SITE,
    ),
    Mutant(
        "starts elsewhere what may have moved",
        "policy/site_recovery.py",
        "    if tenure.state is TenureState.MIGRATING:",
        "    if False:",
        SITE,
    ),
    Mutant(
        "fences no host to which a VM moves",
        "policy/brakes.py",
        "    return {promise.protection.tenure.host, *targets}",
        "    return {promise.protection.tenure.host}",
        SITE,
    ),
    Mutant(
        "moves a VM again under a new leader",
        MOVES,
        "        now.is_told = True\n        return [] if",
        "        return [] if",
        SITE,
    ),
    Mutant(
        "moves what others began to move",
        MOVES,
        "    if not (now.is_told or migration.is_found):",
        "    if not now.is_told:",
        SITE,
    ),
    Mutant(
        "moves several VMs from one host",
        MOVES,
        "    if moving[source]:",
        "    if False:",
        SITE,
    ),
    Mutant(
        "moves several VMs to one host",
        MOVES,
        "    if moving[wish]:",
        "    if False:",
        SITE,
    ),
    Mutant(
        "moves any number at once",
        MOVES,
        ">= MOVES_AT_ONCE:",
        ">= 1_000:",
        SITE,
    ),
    Mutant(
        "forgets what the store was asked for",
        MOVES,
        "    if any(_is_asked(world, vm, now) for",
        "    if False and any(_is_asked(world, vm, now) for",
        SITE,
    ),
    Mutant(
        "moves several VMs of one host when asked twice",
        PROOFS,
        "    if not asked.is_found and is_busy(asked, others):",
        "    if False:",
        COMMITS,
    ),
    Mutant(
        "moves what is tied to its host",
        MOVES,
        "    if promise.needs.obstacle:",
        "    if False:",
        SITE,
    ),
    Mutant(
        "moves in the clear",
        MOVES,
        "    if not record.can_move:\n        return",
        "    if False:\n        return",
        SITE,
    ),
    Mutant(
        "places VMs on drained hosts",
        "policy/placement.py",
        "    if record.host in world.drains:",
        "    if False:",
        SITE,
    ),
    Mutant(
        "tries a failed move again at once",
        "policy/timing.py",
        "MOVE_AGAIN_MS = 60_000",
        "MOVE_AGAIN_MS = 5_000",
        SITE,
    ),
    Mutant(
        "says nothing of a VM that runs twice",
        MOVES,
        "    site_alarms.want(world, key, fault)\n",
        "",
        SITE,
    ),
    Mutant(
        "restarts at the source what moves",
        MOVING,
        "        held.tenure, state=TenureState.HELD, revision=order.revision",
        "        held.tenure, revision=order.revision",
        ENDS,
    ),
    Mutant(
        "tells the end of what moves as a death",
        "policy/faults.py",
        "    if record.moves and fault.effect is Effect.GONE:",
        "    if False and record.moves:",
        ENDS,
    ),
    Mutant(
        "forgets what befell a VM while it moved",
        MOVING,
        "    if seen is not None:\n        return faults.raised(world, seen)\n",
        "",
        ENDS,
    ),
    Mutant(
        "starts what somebody stopped while it moved",
        MOVING,
        "    if seen is None and record.state is VmState.STOPPED and not record.is_elsewhere:",
        "    if False:",
        ENDS,
    ),
    Mutant(
        "takes a late order",
        MOVING,
        "    if held.generation != order.generation or held.revision >= order.revision:",
        "    if held.generation != order.generation:",
        ENDS,
    ),
    Mutant(
        "tells the end of what came in half as a death",
        MOVING,
        "        record.half = record.life.key\n",
        "",
        ENDS,
    ),
    Mutant(
        "commits an end that nobody proved",
        PROOFS,
        "        if end is End.DEAD and (proof not in asked.proofs",
        "        if False and (proof not in asked.proofs",
        COMMITS,
    ),
    Mutant(
        "commits an end that the ends do not say",
        PROOFS,
        "    if asked.step is not outcome(asked.source_end, asked.target_end):",
        "    if False:",
        COMMITS,
    ),
    Mutant(
        "begins what the store would not",
        "controller/migrating.py",
        "        why = proofs.may_begin(held.tenure, asked, known, others)\n        if why:",
        "        why = proofs.may_begin(held.tenure, asked, known, others)\n        if False:",
        COMMITS,
    ),
    Mutant(
        "shuts the target's door while the source still sends",
        "controller/migrating.py",
        ", args) if is_over else {}",
        ", args)",
        COMMITS,
    ),
)
