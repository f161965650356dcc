"""What is printed to a person who leaves, or whose joining failed, can be typed as it stands."""

import re
import shlex
from pathlib import Path

from holdfast.faces.cli import site_words
from holdfast.faces.cli.ca import revoke_certificate
from tests.faces.conftest import Run

ROOT = Path(__file__).parents[2]
JOINT = re.compile(r'"\s*\n\s*f?"')
REVOKE = re.compile(r"ca certificate revoke ([A-Z{][^\s`]*)(`?)( --reason)?")


def test_the_printed_command_is_understood() -> None:
    argv = shlex.split(site_words.put_out("h4", "left"))
    assert argv[:4] == ["holdfast", "ca", "certificate", "revoke"]
    read = revoke_certificate.make_context("revoke", argv[4:])
    assert read.params == {"name": "h4", "reason": "left", "even_with_vms": False}


def test_every_printed_or_written_command_to_revoke_says_why() -> None:
    found = 0
    files = [*ROOT.glob("src/**/*.py"), *ROOT.glob("docs/**/*.md"), ROOT / "README.md"]
    for path in files:
        text = " ".join(JOINT.sub("", path.read_text()).split())
        for name, _, reason in REVOKE.findall(text):
            found += 1
            assert reason, f"{path}: holdfast ca certificate revoke {name}: without --reason"
    assert found > 5


def test_who_begins_anew_asks_the_site_first() -> None:
    """A controller that has its vote would take it away from the store, were it alone."""
    said = site_words.to_begin_anew("h2")
    assert said.index("holdfast leave,") < said.index("--alone")
    assert "only when no controller answers it" in said
    assert site_words.put_out("h2", "again") in said


def test_who_leaves_in_a_script_is_told_how_to_say_yes(run: Run) -> None:
    ran = run("leave", "--alone")
    assert ran.code == 2
    assert ran.err == "holdfast: nobody is here to say yes\n  holdfast leave --yes\n"
