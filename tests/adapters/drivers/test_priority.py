"""Our programs run before guests: their session is given weight, nobody else's is touched."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.ports.priority import AHEAD

AUTOGROUP = Path("/proc/self/autogroup")
LIFT = "from holdfast.ports.priority import come_first; come_first();"
SHOW = f"print(*open('{AUTOGROUP}').read().split()[-1:], __import__('os').nice(0))"

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may come first"),
    pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel weighs no sessions"),
]


def run(code: str, *, leads: bool) -> str:
    words = [sys.executable, "-c", code]
    done = subprocess.run(
        words, stdout=subprocess.PIPE, text=True, check=True, start_new_session=leads
    )
    return done.stdout.strip()


def test_who_leads_a_session_lifts_it() -> None:
    assert run(SHOW, leads=True).split()[0] == "0"
    assert run(LIFT + SHOW, leads=True) == f"{AHEAD} {AHEAD}"


def test_who_runs_in_the_session_of_a_shell_lifts_itself_alone() -> None:
    """Whoever still runs in the session of the machine's first program has no group: no weight is
    shown then, neither before nor after."""
    *weight, _ = run(SHOW, leads=False).split()
    assert run(LIFT + SHOW, leads=False).split() == [*weight, str(AHEAD)]


def test_a_foreign_program_that_is_waited_for_weighs_as_much() -> None:
    """A fence agent beside thirty guests."""
    code = (
        f"{LIFT} import asyncio; from holdfast.adapters.drivers.held_program import run_program;"
        f" print(asyncio.run(run_program(['/bin/cat', '{AUTOGROUP}'], b'', 20, {{}})).said)"
    )
    assert run(code, leads=True).endswith(f"nice {AHEAD}")
