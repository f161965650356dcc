"""The site to practise on: a host of it is broken and mended by the commands that its page names.

covers: H7 H9
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.architecture.sources import PROJECT

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(700)]

PROGRAM = str(PROJECT / ".venv" / "bin" / "holdfast")
NAME = f"practice-{os.getpid()}"
LIMIT_S = 120.0


def lab(*words: str, given: str = "") -> str:
    verb, *rest = words
    done = subprocess.run(
        [PROGRAM, "lab", verb, "--name", NAME, *rest],
        input=given,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def practice() -> Iterator[str]:
    try:
        yield lab("practice")
    finally:
        lab("down")


def vms() -> dict[str, dict[str, Any]]:
    told = json.loads(lab("exec", "h1", "--", "holdfast", "vm", "list", "--json"))
    return {vm["name"]: vm for vm in told["vms"]}


def wait_until_they_live_off(host: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not all(vm["host_name"] != host and vm["is_running"] for vm in vms().values()):
        assert time.monotonic() < deadline, vms()
        time.sleep(1.0)


def walk_from_report_only_to_acting() -> None:
    """With the very commands of the page."""
    on_h1 = ("exec", "h1", "--", "holdfast")
    lab(*on_h1, "host", "mode", "h4", "report")
    lab(*on_h1, "fence", "clear", "h4")
    page = (PROJECT / "docs" / "operate" / "practice.md").read_text().replace("\\\n", " ")
    [line] = [one for one in page.splitlines() if "fence set h4" in one]
    secret, _, command = line.partition("|")
    words = command.split()[command.split().index("fence") :]
    lab(*on_h1, *words, given=secret.split()[1] + "\n")
    lab(*on_h1, "fence", "rehearse", "h4")
    lab(*on_h1, "host", "mode", "h4", "act")


def test_a_host_of_it_is_killed_and_its_vms_live_elsewhere(practice: str) -> None:
    assert f"holdfast lab break --name {NAME} h4" in practice
    assert {name: vm["host_name"] for name, vm in vms().items()} == {"web": "h4", "db": "h4"}
    assert "mend" in lab("break", "h4")
    wait_until_they_live_off("h4")
    story = lab("exec", "h1", "--", "holdfast", "explain", "h4")
    assert "read the power of h4 back: off" in story
    assert "boots" in lab("mend", "h4")
    assert "web" in vms()
    walk_from_report_only_to_acting()
