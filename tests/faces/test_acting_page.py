"""The operators' page on acting: its commands can be typed, and its numbers are those of policy."""

import contextlib
import re
import shlex
from pathlib import Path

import click
import pytest

from holdfast.faces.cli.main import cli
from holdfast.policy import rehearsals, timing

PAGE = (Path(__file__).parents[2] / "docs/operate/acting.md").read_text()
COMMANDS = re.findall(r"^    (holdfast .+)$", PAGE, re.MULTILINE)
INLINE = re.findall(r"`(holdfast [^`]+)`", PAGE)


def parse(line: str) -> None:
    """As the shell and then click read it; nothing is asked of anybody."""
    words = shlex.split(line.partition(" < ")[0], comments=True)[1:]
    context = cli.make_context("holdfast", words, resilient_parsing=False)
    command: click.Command = cli
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
        if not isinstance(command, click.Group):
            command.make_context(name, list(words), parent=context)


@pytest.mark.parametrize("line", sorted({*COMMANDS, *INLINE}))
def test_each_command_of_the_page_can_be_typed(line: str, tmp_path: Path) -> None:
    (tmp_path / "web.xml").touch()  # The page has it written one line before.
    with contextlib.chdir(tmp_path):
        parse(line)


def test_a_command_that_is_none_would_be_found() -> None:
    with pytest.raises(click.ClickException):
        parse("holdfast fence rehearse h4 --hard")
    assert len(COMMANDS) > 8
    assert any("fence_ipmilan" in one for one in COMMANDS)
    assert any("fence_redfish" in one for one in COMMANDS)


def seconds(ms: int) -> str:
    return f"{ms / 1_000:g} s"


@pytest.mark.parametrize(
    "said",
    [
        f"| {seconds(timing.SILENCE_MS)} |",
        f"| {seconds(timing.FENCE_AFTER_MS)} |",
        f"| + {seconds(timing.PROOF_HOLD_MS)} |",
        "again after " + ", ".join(seconds(ms) for ms in timing.FENCE_AGAIN_MS[:-1]),
        f"more than {timing.BRAKE_PERCENT} % of the hosts",
    ],
)
def test_its_numbers_are_those_of_policy(said: str) -> None:
    assert said in PAGE


def test_its_spans_are_those_of_policy() -> None:
    assert timing.FENCE_AGAIN_MS[-1] == 60_000, "then each minute"
    assert timing.STORM_MS == 600_000, "within ten minutes"
    assert timing.GRACE_MS == 300_000, "five minutes to boot"
    assert (rehearsals.AGAIN_MS, rehearsals.OLD_MS) == (3_600_000, 2 * 86_400_000)
    for said in ("within ten minutes", "five minutes", "once an hour", "younger than two days"):
        assert said in PAGE
