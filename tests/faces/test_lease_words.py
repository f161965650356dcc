"""Who relies on the lease of a host, and where nothing can be switched off, is shown.

covers: H9
"""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.faces.conftest import Run
from tests.faces.programs_that_answer import answering
from tests.faces.test_commands import host_row
from tests.faces.test_fence_commands import ask_status

LEASED: dict[str, Any] = {
    "mode": "act",
    "why_not_fenceable": "it has no fence device",
    "lease": ["web-1", "web-2"],
}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (LEASED, "Lease ends web-1, web-2 when no controller grants it"),
        (
            {"lease_trouble": "its pulse has not opened the watchdog"},
            "Lease not armed: its pulse has not opened the watchdog",
        ),
    ],
)
def test_a_host_says_whom_it_ends_or_why_it_could_not(
    run: Run, run_dir: Path, more: dict[str, Any], said: str
) -> None:
    with answering(run_dir, "controller", {"host": {"host": host_row("h1", **more)}}):
        ran = run("host", "show", "h1")
    assert said in " ".join(ran.out.split())


def test_nothing_is_said_of_leases_where_nobody_asked_for_one(run: Run, run_dir: Path) -> None:
    with answering(run_dir, "controller", {"host": {"host": host_row("h1")}}):
        assert "Lease" not in run("host", "show", "h1").out


def test_a_host_that_has_only_its_lease_is_well_and_one_without_is_not(
    run: Run, run_dir: Path
) -> None:
    able = {"mode": "act", "is_fenceable": True, "fence_devices": ["fence_ipmilan"]}
    plain, listed = ask_status(run, run_dir, host_row("h1", **LEASED), host_row("h2", **able))
    assert "each could be switched off now, or ends what relies on its lease (h1)" in plain.out
    assert re.search(r"h1 .* act, by its lease +pulses", listed.out)
    bare = {**LEASED, "lease": []}
    plain, listed = ask_status(run, run_dir, host_row("h1", **bare), host_row("h2", **able))
    assert "could not switch off h1 now: it has no fence device" in plain.out
    assert re.search(r"h1 .* act, not fenceable +pulses", listed.out)


def test_a_group_is_set_with_a_lease_and_without(run: Run, run_dir: Path) -> None:
    with answering(run_dir, "controller", {"group-set": {}}) as fake:
        for option, asked in (("--lease", True), ("--no-lease", False)):
            assert run("group", "set", "far", option).code == 0
            assert fake.asked[-1].args == {"name": "far", "lease": asked}
