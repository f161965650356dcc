"""The operator's pages say what the catalogue says; `make rewrite` writes them anew."""

import re
from pathlib import Path

from holdfast.detectors.agent_away import STARTS_MS, WELL_MS
from holdfast.faces.pages.alarm_pages import pages
from holdfast.facts.catalogue import BY_ID, CATALOGUE
from holdfast.policy.timing import AGENT_RESTART_LIMIT_MS, PULSE_RESTART_LIMIT_MS

FOLDER = Path(__file__).parents[2] / "docs/operate/alarms"
SITE = FOLDER.parent / "site.md"


def test_every_alarm_has_its_page_and_no_page_is_left_over(rewrite: bool) -> None:
    wanted = pages()
    if rewrite:
        FOLDER.mkdir(parents=True, exist_ok=True)
        for path in FOLDER.glob("*.md"):
            path.unlink()
        for name, text in wanted.items():
            (FOLDER / name).write_text(text)
    assert {path.name: path.read_text() for path in FOLDER.glob("*.md")} == wanted


def test_ids_are_unique() -> None:
    assert len({row.id for row in CATALOGUE}) == len(CATALOGUE)


def test_how_long_is_waited_for_what_restarts_on_purpose_is_said_as_it_is() -> None:
    """On the pages of the alarms, and on the page of a site."""

    def seconds(*limits_ms: int) -> set[str]:
        return {f"{ms // 1_000} s" for ms in limits_ms}

    def said(text: str) -> set[str]:
        return set(re.findall(r"\d+ s\b", text))

    agent = seconds(AGENT_RESTART_LIMIT_MS, WELL_MS, STARTS_MS)
    assert said(BY_ID["agent-away"].reported) == agent
    assert said(BY_ID["pulse-away"].reported) == seconds(PULSE_RESTART_LIMIT_MS)
    planned = SITE.read_text().partition("A planned restart")[2].partition("\n\n")[0]
    assert said(planned) == seconds(PULSE_RESTART_LIMIT_MS, AGENT_RESTART_LIMIT_MS)
