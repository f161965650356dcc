"""The repair ladder broken on purpose: each edit must turn its tests red."""

from tests.policy.mutant import Mutant

_TESTS = ("tests/policy/test_ladder.py", "tests/policy/test_ladder_laws.py")
_LAWS = ("tests/policy/test_ladder_laws.py",)
_LADDER = "policy/ladder.py"

LADDER_MUTANTS = (
    Mutant(
        "believes a step's own word",
        _LADDER,
        "    mend.stage = MendStage.VERIFYING\n    mend.step_due",
        '    return _is_over(world, mend, "it said so")\n    mend.step_due',
        _LAWS,
    ),
    Mutant(
        "waits for a verification without an end",
        _LADDER,
        "    mend.step_due = after(world.now, mend.step.verify_ms)",
        "    mend.step_due = None",
        _TESTS,
    ),
    Mutant(
        "gives a step more than its budget",
        _LADDER,
        "    limit_ms = int(min(mend.step.budget_ms, elapsed_ms(world.now, mend.due)))",
        "    limit_ms = int(elapsed_ms(world.now, mend.due))",
        _LAWS,
    ),
    Mutant(
        "gives a step more than the time of the ladder",
        _LADDER,
        "    limit_ms = int(min(mend.step.budget_ms, elapsed_ms(world.now, mend.due)))",
        "    limit_ms = mend.step.budget_ms",
        _TESTS,
    ),
    Mutant(
        "waits for a step without an end",
        _LADDER,
        "    mend.step_due = after(world.now, limit_ms + timing.STEP_SAID_MS)",
        "    mend.step_due = None",
        _TESTS,
    ),
    Mutant(
        "never hands over",
        "policy/mends.py",
        "        return self.due if self.step_due is None else min(self.due, self.step_due)",
        "        return self.step_due",
        _TESTS,
    ),
    Mutant(
        "ignores the budget of the hour",
        _LADDER,
        "    if runs >= mend.ladder.runs_an_hour:",
        "    if runs >= 1_000:",
        _LAWS,
    ),
    Mutant(
        "ignores the budget of the host",
        _LADDER,
        "    if mends.runs_of_all(world.now) >= timing.MENDS_AN_HOUR:",
        "    if mends.runs_of_all(world.now) >= 1_000:",
        _TESTS,
    ),
    Mutant(
        "counts no runs",
        _LADDER,
        "        world.mends.runs.setdefault(mend.key, []).append(world.now)",
        "        world.mends.runs.setdefault(mend.key, [])",
        _LAWS,
    ),
    Mutant(
        "mends while disarmed",
        _LADDER,
        "    if world.disarm is not None:",
        "    if False:",
        _LAWS,
    ),
    Mutant(
        "mends before it is told",
        _LADDER,
        "    return [*_tell(world, mend), order]  # It is told first.",
        "    return [order, *_tell(world, mend)]",
        _LAWS,
    ),
    Mutant(
        "mends what needs something before that",
        _LADDER,
        "    if cause is not None:\n        return _wait_for",
        "    if False:\n        return _wait_for",
        _LAWS,
    ),
    Mutant(
        "begins a second step under the first",
        _LADDER,
        "    if mend.stage is MendStage.HELD:\n        return _next(world, mend)\n    return _tell",
        "    if mend.stage is not MendStage.HANDED_OVER:\n"
        "        return _next(world, mend)\n    return _tell",
        _LAWS,
    ),
    Mutant(
        "goes on after it was handed over",
        _LADDER,
        "    if mend.stage is MendStage.HELD:\n        return _next(world, mend)\n    return _tell",
        "    if mend.stage in (MendStage.HELD, MendStage.HANDED_OVER):\n"
        "        mend.place = -1\n        return _try(world, mend)\n    return _tell",
        _LAWS,
    ),
    Mutant(
        "takes a late word for that of the step under way",
        _LADDER,
        "        outcome.number,\n    )",
        "        mend.number,\n    )",
        _TESTS,
    ),
    Mutant(
        "forgets what it tried",
        "policy/mends.py",
        "        mend.tried.append(tried)",
        "        mend.tried = []",
        _TESTS,
    ),
    Mutant(
        "mends on a suspicion what VMs may feel",
        _LADDER,
        "    if ahead and ahead[0].risk is Risk.GUESTS and",
        "    if False and",
        _TESTS,
    ),
    Mutant(
        "clears while a step is under way",
        _LADDER,
        "        mend.is_well = True  # What is under way may still change that.\n"
        "        return []",
        "        pass",
        _TESTS,
    ),
    Mutant(
        "takes what failed again for well",
        _LADDER,
        "    was, mend.fault, mend.is_well = mend.fault, fault, False",
        "    was, mend.fault = mend.fault, fault",
        _LAWS,
    ),
)
