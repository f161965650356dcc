"""The repair of the virtual switch broken on purpose: each edit must turn its tests red."""

from tests.policy.mutant import Mutant

_LADDERS = ("tests/policy/test_vswitch_ladders.py",)
_MENDER = ("tests/adapters/test_switch_mender.py",)
_RULES, _SWITCH = "policy/vswitch_ladders.py", "adapters/menders/switch.py"

VSWITCH_MUTANTS = (
    Mutant(
        "mends a switch that nobody asked to mend",
        _RULES,
        "one if repair else ()",
        "one",
        _LADDERS,
    ),
    Mutant(
        "mends flows before the daemon that has them",
        _RULES,
        "            needs=NEEDS,\n",
        "",
        _LADDERS,
    ),
    Mutant(
        "begins the daemon anew without its flows",
        _RULES,
        "    if process == DAEMON:",
        "    if False:",
        _LADDERS,
    ),
    Mutant(
        "restarts the database, and its daemon with it",
        _RULES,
        '    if process == DATABASE and mender == "unit":',
        "    if False:",
        _LADDERS,
    ),
    Mutant(
        "counts the repairs of all faults of a bridge as of one",
        "policy/ladder.py",
        "setdefault(mend.key, []).append",
        "setdefault(mend.fault.subject.id, []).append",
        (*_LADDERS, "tests/policy/test_ladder_laws.py"),
    ),
    Mutant(
        "has what nothing mends wait though its cause is well",
        "policy/mends.py",
        "            and (one.steps or any(map(self.of_subject, one.needs)))\n",
        "",
        _LADDERS,
    ),
    Mutant(
        "hands over what nothing mends before its cause is mended",
        "policy/ladder.py",
        "    if steps and mend.place + 1 >= steps:",
        "    if mend.place + 1 >= steps:",
        _LADDERS,
    ),
    Mutant(
        "waits for ever for what did not come back with its cause",
        "policy/ladder.py",
        "    if not steps:\n        return _hand_over",
        "    if False:\n        return _hand_over",
        _LADDERS,
    ),
    Mutant(
        "has what nothing mends wait for no cause where the budget is spent",
        "policy/ladder.py",
        '_spent(world, mend) if ladder.steps else ""',
        "_spent(world, mend)",
        _LADDERS,
    ),
    Mutant(
        "mends under the hands of somebody who works on the switch",
        _SWITCH,
        "                if Path(first).exists():",
        "                if False:",
        _MENDER,
    ),
    Mutant(
        "takes an uplink without a cable for mended",
        _SWITCH,
        '    raise MendFailed(f"nothing of',
        '    return (f"nothing of',
        _MENDER,
    ),
    Mutant(
        "takes a port that could not be made for made",
        _SWITCH,
        "    if len(failed) == len(came) or (failed and not at_least_one):",
        "    if len(failed) == len(came):",
        _MENDER,
    ),
    Mutant(
        "keeps flows that nobody recorded",
        _SWITCH,
        "        if not switch.has_record:",
        "        if False:",
        _MENDER,
    ),
)
