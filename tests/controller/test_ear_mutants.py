"""Pulse and ear broken on purpose turn tests red: each mutant is one edit, in a copy."""

from pathlib import Path

import pytest

from tests.policy.breaking import survivors
from tests.policy.mutant import Mutant

HOSTS = ("tests/controller/test_ear_hosts.py", "tests/controller/test_ear_words.py")
EAR = ("tests/controller/test_ear.py", "tests/controller/test_ear_beside.py")
HEARING = ("tests/controller/test_hearing.py", "tests/controller/test_hearing_words.py")
KNOWN = ("tests/controller/test_known_hosts.py",)
PULSE = ("tests/agent/test_pulse.py",)

MUTANTS = (
    Mutant(
        "believes any key",
        "controller/ear_hosts.py",
        "        if not compare_digest(digest, data[-DIGEST_BYTES:]):",
        "        if False and not compare_digest(digest, data[-DIGEST_BYTES:]):",
        HOSTS,
    ),
    Mutant(
        "believes any key at the first pulse",
        "controller/ear_hosts.py",
        "            if not is_signed(data, host.key):",
        "            if False and not is_signed(data, host.key):",
        HOSTS,
    ),
    Mutant(
        "takes a replay for a sign of life",
        "controller/ear_hosts.py",
        "        if step <= 0:",
        "        if step <= -1_000_000:",
        HOSTS,
    ),
    Mutant(
        "forgets what it heard before it began",
        "controller/ear_hosts.py",
        "host.boots.get(names.boot, 0))",
        "0)",
        HOSTS,
    ),
    Mutant(
        "waits for a silence as long as it was told to before",
        "controller/ear_hosts.py",
        "        if due < self._earliest:  # An excuse",
        "        if False:  # An excuse",
        HOSTS,
    ),
    Mutant(
        "waits for the end of a plan that was called off",
        "controller/ear_hosts.py",
        "                self._earliest = min(self._earliest, line.due)",
        "",
        HOSTS,
    ),
    Mutant(
        "takes a pulse of another plane",
        "controller/ear_hosts.py",
        "        if line.plane != plane:",
        "        if False and line.plane != plane:",
        HOSTS,
    ),
    Mutant(
        "lets a clone and its host take turns",
        "controller/ear_hosts.py",
        "            if heard and at - max(heard) < self._silence:",
        "            if False and heard and at - max(heard) < self._silence:",
        HOSTS,
    ),
    Mutant(
        "waits for a planned restart as long as that says",
        "controller/ear_hosts.py",
        "min(read.plan_limit_ms * NS_PER_MS, self._longest)",
        "read.plan_limit_ms * NS_PER_MS",
        HOSTS,
    ),
    Mutant(
        "judges what it has not read",
        "controller/ear.py",
        "            is_all = all(self._catch_up(at, late)) and is_all",
        "            pass",
        EAR,
    ),
    Mutant(
        "counts from when it read",
        "controller/ear_sockets.py",
        "stamp = self._read_stamp(extra)",
        "stamp = None",
        EAR,
    ),
    Mutant(
        "believes a clock that was set",
        "controller/ear_sockets.py",
        "at = max(since, at - max(0, clock.wall() - stamp))",
        "at = at - (clock.wall() - stamp)",
        EAR,
    ),
    Mutant(
        "never doubts itself",
        "controller/ear.py",
        "        if late > 2 * self._period:",
        "        if False and late > 2 * self._period:",
        EAR,
    ),
    Mutant(
        "counts the time in which it could hear nobody",
        "controller/ear.py",
        "            self.hosts.excuse(deaf)\n",
        "",
        EAR,
    ),
    Mutant(
        "excuses all the time in which it did not read",
        "controller/ear.py",
        "            self.hosts.excuse(deaf)",
        "            self.hosts.excuse(late)",
        EAR,
    ),
    Mutant(
        "does not notice that there was no room",
        "controller/ear.py",
        "            is_all = not ear.has_overflowed() and is_all",
        "            ear.has_overflowed()",
        EAR,
    ),
    Mutant(
        "lets floods in",
        "controller/ear.py",
        "                ear.shut_out(self._shut_out)",
        "                ear.shut_out([])",
        EAR,
    ),
    Mutant(
        "shuts a host out for what came from its address",
        "controller/ear_hosts.py",
        "        by = sender if sender[0] in self.known_addresses else (sender[0], 0)",
        "        by = (sender[0], 0)",
        EAR,
    ),
    Mutant(
        "shuts a host out when a flood bears its own sender",
        "controller/ear.py",
        "(self._let_in if sender in believed else self._shut_out)[sender]",
        "self._shut_out[sender]",
        EAR,
    ),
    Mutant(
        "shuts a host out before it was met",
        "controller/ear.py",
        "        if at - self._began_at < MEETS_NS:",
        "        if False and at - self._began_at < MEETS_NS:",
        EAR,
    ),
    Mutant(
        "does not notice that the controller was slow",
        "controller/hearing.py",
        "        if waited_ms > SLOW_MS:",
        "        if False and waited_ms > SLOW_MS:",
        HEARING,
    ),
    Mutant(
        "misses whom only the store names",
        "controller/known_hosts.py",
        "watch.know(host,",
        "watch.expect(host,",
        KNOWN,
    ),
    Mutant(
        "does not miss whom an earlier run heard",
        "controller/hearing.py",
        "return self.has_greeted or any(self.boots.values())",
        "return False",
        KNOWN,
    ),
    Mutant(
        "takes an old answer for a new one",
        "controller/hearing.py",
        "(names.host, names.nonce) == (probe.host, probe.nonce)",
        "names.host == probe.host",
        HEARING,
    ),
    Mutant(
        "answers whoever asks",
        "facts/pulse.py",
        "    names = peek(data, Kind.PROBE)\n    if not is_signed(data, key):",
        "    names = peek(data, Kind.PROBE)\n    if False and not is_signed(data, key):",
        PULSE,
    ),
    Mutant(
        "begins each pulse with the same sequence",
        "agent/pulse.py",
        "self._sequence = time.monotonic_ns() // NS_PER_MS",
        "self._sequence = 0",
        PULSE,
    ),
    Mutant(
        "ends without a word",
        "agent/pulse.py",
        "            self._plan, self._limit_ms = Plan.PULSE_RESTARTS, self._file.restart_limit_ms",
        "            pass",
        PULSE,
    ),
)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_mutant_turns_tests_red(tmp_path: Path) -> None:
    assert survivors(MUTANTS, tmp_path) == []
