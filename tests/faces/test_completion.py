"""A shell completes commands, options, and the names that the running programs know."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import to_builtins

from tests.faces import examples as known
from tests.faces.conftest import Run
from tests.faces.programs_that_answer import answering


def complete(words: str, last: str = "") -> list[str]:
    """What bash would be offered after these words."""
    count = len(words.split())
    done = subprocess.run(
        [sys.executable, "-m", "holdfast.faces.cli.main"],
        capture_output=True,
        text=True,
        timeout=60,
        env={
            **os.environ,
            "_HOLDFAST_COMPLETE": "bash_complete",
            "COMP_WORDS": f"{words} {last}",
            "COMP_CWORD": str(count),
        },
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(run: Run, shell: str) -> None:
    ran = run("completion", shell)
    assert ran.code == 0
    assert f"_HOLDFAST_COMPLETE={shell}_complete" in ran.out


def test_the_script_for_bash_is_bash(run: Run, tmp_path: Path) -> None:
    script = tmp_path / "holdfast.bash"
    script.write_text(run("completion", "bash").out)
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0


def test_an_unknown_shell_is_refused_with_the_known_ones(run: Run) -> None:
    ran = run("completion", "tcsh")
    assert ran.code == 2
    assert "'bash', 'zsh', 'fish'" in ran.err


def test_commands_and_options_are_completed(site_dir: Path) -> None:
    assert complete("holdfast", "inc") == ["incidents"]
    assert complete("holdfast vm", "pro") == ["protect"]
    assert complete("holdfast vm protect", "--a") == ["--answers"]


def test_names_are_completed_from_what_runs(run_dir: Path) -> None:
    table = {
        "vms": to_builtins(list(known.VMS)),
        "incidents": to_builtins([known.OPEN]),
        "groups": to_builtins(list(known.GROUPS)),
    }
    with answering(run_dir, "controller", table):
        assert complete("holdfast vm protect", "w") == ["web-1"]
        assert complete("holdfast last-words", "") == ["db-1", "spare", "web-1"]
        assert complete("holdfast explain", "db") == ["db-1-2-7c1d"]
        assert complete("holdfast vm protect web-1 --group", "g") == ["gateways"]


def test_with_nothing_running_nothing_is_offered_and_nothing_said(run_dir: Path) -> None:
    assert complete("holdfast vm protect", "w") == []
