"""A line of a story of a site: its words, its options, and what carries it out."""

from collections.abc import Callable

from tests.simulation.site_stage import SiteStage

Words = list[str]
Options = dict[str, str]
Command = Callable[[SiteStage, Words, Options], list[str] | None]
UNITS_MS = {"ms": 1.0, "s": 1_000.0, "min": 60_000.0, "h": 3_600_000.0}


class BadStory(Exception):
    """A line of a story cannot be played; which, and why."""
