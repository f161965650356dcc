"""The rules of mending hardware, and of its advice, broken on purpose: tests must turn red."""

from tests.policy.mutant import Mutant

_MENDERS = ("tests/adapters/test_hardware_menders.py",)
_CASES = ("tests/detectors/test_cases.py",)
_STORIES = ("tests/stories/test_stories.py",)
_ADVICE = ("tests/policy/test_hand_overs.py",)
_SITE = ("tests/policy/test_site_hand_overs.py",)

HARDWARE_MUTANTS = (
    Mutant(
        "resets what a VM was given",
        "adapters/drivers/part_holders.py",
        "        if driver in OF_GUESTS:",
        "        if False:",
        _MENDERS,
    ),
    Mutant(
        "resets what holds a disk",
        "adapters/drivers/part_holders.py",
        "        if kind in DISKS:",
        "        if False:",
        _MENDERS,
    ),
    Mutant(
        "resets the link that the host is reached over",
        "adapters/drivers/part_holders.py",
        "        elif one in routed:",
        "        elif False:",
        _MENDERS,
    ),
    Mutant(
        "takes the only CPU of a VM",
        "adapters/drivers/part_holders.py",
        "        if alone:",
        "        if False:",
        _MENDERS,
    ),
    Mutant(
        "puts a disk back that is ill",
        "adapters/menders/raid.py",
        "        if why:",
        "        if False:",
        _MENDERS,
    ),
    Mutant(
        "takes the turn of a spare",
        "adapters/menders/raid.py",
        "        if state.spares:\n            raise",
        "        if False:\n            raise",
        _MENDERS,
    ),
    Mutant(
        "tells of a page that is still in use",
        "adapters/sensors/repaired_parts.py",
        "if is_well else None",
        "",
        _MENDERS,
    ),
    Mutant(
        "believes a page mended that it was not told of",
        "detectors/memory_corrected.py",
        "        if left >= self._limit:",
        "        if False:",
        _CASES,
    ),
    Mutant(
        "believes that any CPU was the one",
        "detectors/cpu_suspect.py",
        "            case CpuOffline() if self._cpus == {seen.cpu}:",
        "            case CpuOffline():",
        _CASES,
    ),
    Mutant(
        "blames a page for any end",
        "detectors/vm_gone/judgement.py",
        '    if end and signal_name(end) == "SIGBUS" and life.has("page-lost"):',
        '    if life.has("page-lost"):',
        _CASES,
    ),
    Mutant(
        "waits for a rebuild that has broken off",
        "policy/ladder.py",
        "    if is_verified and _mends_itself(was) and not _mends_itself(fault):",
        "    if False:",
        _STORIES,
    ),
    Mutant(
        "begins by default what VMs may feel",
        "policy/hardware_ladders.py",
        "Repair.HARMLESS: HARMLESS,",
        "Repair.HARMLESS: (*HARMLESS, *ASKED_FOR),",
        _ADVICE,
    ),
    Mutant(
        "forgets the advice of what has no repair",
        "policy/hand_overs.py",
        "        if is_left and advice is not Advice.NOTHING:",
        "        if False:",
        _ADVICE,
    ),
    Mutant(
        "lets the milder advice count",
        "policy/hand_overs.py",
        "    advice = max(first.advice,",
        "    advice = min(first.advice,",
        _ADVICE,
    ),
    Mutant(
        "drains for a mere warning",
        "policy/site_world.py",
        "for one in self.handed_over if one not in self.may_stay)",
        "for one in self.handed_over)",
        _SITE,
    ),
)
