"""What guards, mends and answers for processes broken on purpose: each edit must turn tests red."""

from tests.policy.mutant import Mutant

_CASES = ("tests/detectors/test_cases.py",)
_MENDERS = ("tests/adapters/test_mender_contracts.py",)
_SENSOR = ("tests/adapters/sensors/guarded_processes/test_guarded_processes.py",)
_SITE = ("tests/policy/test_site_hand_overs.py",)

PROCESS_MUTANTS = (
    Mutant(
        "tells a wanted stop",
        "detectors/process_failed.py",
        "CAN_BE_WANTED = (0, 1, 2, 15)",
        "CAN_BE_WANTED = ()",
        _CASES,
    ),
    Mutant(
        "believes at once that it is back",
        "detectors/process_failed.py",
        "            one.due = after(at, self._steady_ms)",
        "            one.due = at",
        _CASES,
    ),
    Mutant(
        "takes running for serving",
        "detectors/process_failed.py",
        "        if not seen.has_probe:\n            self._serves",
        "        if True:\n            self._serves",
        _CASES,
    ),
    Mutant(
        "never retracts what somebody wanted",
        "detectors/process_failed.py",
        "                if one.effect is not None:\n                    yield self._clear",
        "                if False:\n                    yield self._clear",
        _CASES,
    ),
    Mutant(
        "takes no answer for stuck, whatever it does",
        "adapters/sensors/guarded_processes.py",
        "                enough = BUSY_TIMES if works else",
        "                enough = 1 if works else",
        _SENSOR,
    ),
    Mutant(
        "takes a probe that cannot be run for no answer",
        "adapters/sensors/guarded_processes.py",
        'str(error))\n                why = ""',
        'str(error))\n                why = "it cannot be asked"',
        _SENSOR,
    ),
    Mutant(
        "believes a wish that is said once",
        "adapters/sensors/guarded_processes.py",
        "            is_sure = found.word != ON_PURPOSE or now == before",
        "            is_sure = True",
        _SENSOR,
    ),
    Mutant(
        "believes an old pid file",
        "adapters/drivers/process_finder.py",
        "        if time.time() - age_s <= path.stat().st_mtime + CLOCK_SLACK_S:",
        "        if True:",
        _SENSOR,
    ),
    Mutant(
        "starts what somebody stopped",
        "adapters/menders/unit.py",
        '        if unit.active in ("inactive", "deactivating"):',
        "        if False:",
        _MENDERS,
    ),
    Mutant(
        "starts what an end mark says is stopped",
        "adapters/menders/process.py",
        "        if Path(mark).exists():",
        "        if False:",
        _MENDERS,
    ),
    Mutant(
        "ends whoever has the number by now",
        "adapters/drivers/ending.py",
        "        if ticks and str(read_ticks(pid)) != ticks:",
        "        if False:",
        _MENDERS,
    ),
    Mutant(
        "kills all of a unit",
        "adapters/menders/unit.py",
        "            await end_process(unit.pid, ticks, (signal.SIGKILL,))",
        '            await run_step((systemctl, "kill", unit.name), _left(deadline))\n'
        "            await end_process(unit.pid, ticks, (signal.SIGKILL,))",
        _MENDERS,
    ),
    Mutant(
        "waits for a program without an end",
        "adapters/drivers/short_program.py",
        "            async with asyncio.timeout(limit_s):",
        "            async with asyncio.timeout(30):",
        _MENDERS,
    ),
    Mutant(
        "places VMs where nothing could be mended",
        "policy/placement.py",
        "    if record.handed_over and world.hand_over is not HandOver.REPORT:",
        "    if False:",
        _SITE,
    ),
    Mutant(
        "drains by default",
        "policy/site_drains.py",
        "    if world.hand_over is HandOver.DRAIN:",
        "    if True:",
        _SITE,
    ),
    Mutant(
        "drains however many could not mend themselves",
        "policy/site_drains.py",
        "        if record.host not in world.drains and not why_unmended_kept(world, record):",
        "        if record.host not in world.drains:",
        _SITE,
    ),
)
