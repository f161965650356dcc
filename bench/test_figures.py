"""Measures the figures of the design by drills, one command each, and writes docs/figures.md."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.figures_page import render_page

PROJECT = Path(__file__).resolve().parents[1]
# The newest result of each command, so that one of them can be measured again alone.
DATA, PAGE = PROJECT / "docs/figures.json", PROJECT / "docs/figures.md"
LIMIT_S = 3_600

COMMANDS = (
    "vm-killed --runs 40",
    "vm-killed --runs 10 --busy",
    "vm-killed --runs 5 --memory 12G",
    "vm-panicked --runs 5",
    "vm-watchdog --runs 5",
    "vm-io-error --runs 5",
    "vm-stuck --runs 3",
    "vm-stopped-on-purpose --runs 1",
    "agent-killed-then-vm-killed --runs 3",
    "vms-killed-together --runs 2",
    "agent-idle --runs 1",
    "libvirt-killed --runs 20",
    "libvirt-frozen --runs 10",
    "process-killed --runs 4",
    "process-frozen --runs 4",
    "vswitch-killed --runs 5",
    "vswitch-uplink-lost --runs 10",
    "vswitch-uplink-off --runs 10",
    "vswitch-flows-lost --runs 10",
    "host-power-cut --runs 20",
    "host-power-cut --runs 10 --busy",
    "host-frozen --runs 10",
    "host-cut-off --runs 10",
    "host-power-cut --runs 3 --vms 1",
    "host-power-cut --runs 3 --vms 10",
    "host-power-cut --runs 1 --vms 30",
    "fencer-broken --runs 4",
    "bmc-gone-with-host --runs 2",
    "host-returns --runs 2",
    "too-many-hosts-lost --runs 2",
    "leader-dies-in-recovery --runs 16",
    "controllers-all-lost --runs 1",
    "drain --runs 1 --vms 10",
    "source-dies-in-migration --runs 4",
    "target-dies-in-migration --runs 4",
    "lease-runs-out --runs 2",
    "watchdog-bites --runs 2",
    "one-plane-lost --runs 6",
    "agent-killed --runs 5",
    "agent-restarted --runs 2",
    "leader-killed --runs 5",
    "leader-and-host-killed --runs 5",
    "storm --runs 1",
    "quiet --runs 3",
    "thousand-agents",
)


@pytest.mark.bench
@pytest.mark.timeout(LIMIT_S + 60)
@pytest.mark.parametrize("command", COMMANDS)
def test_figures_are_measured(command: str) -> None:
    """Time is not judged here, but nothing may be lost, false or overrun."""
    holdfast = Path(sys.executable).with_name("holdfast")
    done = subprocess.run(
        [str(holdfast), "drill", *command.split(), "--json"],
        stdout=subprocess.PIPE,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.stdout, f"holdfast drill {command} measured nothing"
    result: dict[str, Any] = json.loads(done.stdout)
    keep(command, result)
    assert result["passed"], result["notes"]


def keep(command: str, result: dict[str, Any]) -> None:
    """Store the result in place of an older one, and write the page anew."""
    kept: dict[str, Any] = json.loads(DATA.read_text()) if DATA.exists() else {}
    kept[command] = result
    ordered = {each: kept[each] for each in COMMANDS if each in kept}
    DATA.write_text(json.dumps(ordered, indent=1) + "\n")
    PAGE.write_text(render_page(list(ordered.values())))
