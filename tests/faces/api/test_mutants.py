"""The API broken on purpose turns its tests red: each mutant is one edit, in a copy."""

from pathlib import Path

import pytest

from tests.policy.breaking import survivors
from tests.policy.mutant import Mutant

ROLES = ("tests/faces/api/test_roles.py",)
CALLERS = ("tests/faces/api/test_callers.py",)
STREAMS = ("tests/faces/api/test_streams.py",)
MALFORMED = ("tests/faces/api/test_malformed.py",)
FLOODS = ("tests/faces/api/test_floods.py",)
LEADING = ("tests/faces/api/test_leading.py",)
MERGING = ("tests/controller/test_merging.py",)

MUTANTS = (
    Mutant(
        "lets everybody do everything",
        "faces/api/server.py",
        "    if needed is not None and not caller.role.may(needed):",
        "    if False and needed is not None:",
        ROLES,
    ),
    Mutant(
        "lets an operator say that a host is gone",
        "faces/api/server.py",
        "                if args.get(name):",
        "                if False and args.get(name):",
        ROLES,
    ),
    Mutant(
        "writes no change down",
        "controller/questions.py",
        "        if name not in CHANGES:",
        "        if True or name not in CHANGES:",
        ROLES,
    ),
    Mutant(
        "writes a change down only when it is over",
        "controller/audit.py",
        "        await self._write(entry)\n        began",
        "        began",
        ROLES,
    ),
    Mutant(
        "says nothing of those who tried in vain",
        "faces/api/server.py",
        "            if refusal.status == 403 and route.is_change:",
        "            if False and refusal.status == 403:",
        ROLES,
    ),
    Mutant(
        "takes a name for a token",
        "controller/api_tokens.py",
        "        if held is None or not is_right:",
        "        if held is None:",
        CALLERS,
    ),
    Mutant(
        "never ends a token",
        "controller/api_tokens.py",
        "        if held.until_utc_ms <= now:",
        "        if False and held.until_utc_ms <= now:",
        CALLERS,
    ),
    Mutant(
        "keeps tokens as they are",
        "controller/api_tokens.py",
        '    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()',
        "    return text",
        CALLERS,
    ),
    Mutant(
        "lets guess without end",
        "faces/api/callers.py",
        "            if wait_s:",
        "            if False and wait_s:",
        CALLERS,
    ),
    Mutant(
        "lets every host administer",
        "faces/api/callers.py",
        "        if not peer.is_controller:",
        "        if False and not peer.is_controller:",
        CALLERS,
    ),
    Mutant(
        "believes whoever says for whom he asks",
        "faces/api/callers.py",
        "        if not peer.is_controller:\n            return Caller(",
        "        if not peer.is_controller and not request.headers.get(FROM):\n"
        "            return Caller(",
        CALLERS,
    ),
    Mutant(
        "hides a gap",
        "faces/api/streams.py",
        "    if batch.gap is not None:",
        "    if False and batch.gap is not None:",
        STREAMS,
    ),
    Mutant(
        "uses numbers again that a kill took",
        "controller/events.py",
        "            self.newest += LEAP",
        "            pass",
        STREAMS,
    ),
    Mutant(
        "keeps events without end",
        "controller/events.py",
        "        if len(self._events) > self._kept:",
        "        if False and len(self._events) > self._kept:",
        STREAMS,
    ),
    Mutant(
        "never looks again whether a reader still may",
        "faces/api/streams.py",
        "                still_may()\n                batch",
        "                batch",
        STREAMS,
    ),
    Mutant(
        "waits for readers that read nothing",
        "faces/api/streams.py",
        "            async with asyncio.timeout(self._write_limit_s):",
        "            async with asyncio.timeout(None):",
        STREAMS,
    ),
    Mutant(
        "takes fields that nobody knows",
        "faces/api/shapes.py",
        "forbid_unknown_fields=True",
        "forbid_unknown_fields=False",
        MALFORMED,
    ),
    Mutant(
        "tells the inside of a fault",
        "faces/api/server.py",
        '"this is a fault of Holdfast itself", "see',
        'f"{__import__(\'sys\').exc_info()}", "see',
        MALFORMED,
    ),
    Mutant(
        "takes every connection",
        "faces/api/accepting.py",
        "            return count >= self._most",
        "            return False",
        FLOODS,
    ),
    Mutant(
        "leaves a change half done",
        "faces/api/server.py",
        "    return await asyncio.shield(task)",
        "    return await task",
        ("tests/faces/api/test_changes.py",),
    ),
    Mutant(
        "passes on what was passed on",
        "faces/api/leading.py",
        "headers = {BY: _plain(caller.name), ROLE: str(caller.role), FROM: _plain(caller.origin)}",
        "headers = {BY: _plain(caller.name)}",
        LEADING,
    ),
    Mutant(
        "merges journals by the clock alone",
        "controller/merging.py",
        "        _follows(turn, origin)",
        "        pass",
        MERGING,
    ),
)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_mutant_turns_tests_red(tmp_path: Path) -> None:
    assert survivors(MUTANTS, tmp_path) == []
