"""A site in a lab for the drill tests of one file, and a drill that must pass there."""

import contextlib
import os
from collections.abc import Iterator

from holdfast.lab.drills.director import DRILLS, SiteDrill, perform_there
from holdfast.lab.drills.figures import Result
from holdfast.lab.drills.scene import Choices
from holdfast.lab.drills.site_stage import SiteStage
from holdfast.lab.hosts import Lab


@contextlib.contextmanager
def site_of(hosts: int, name: str) -> Iterator[SiteStage]:
    lab = Lab.up(hosts, name=f"{name}-{os.getpid()}")
    try:
        with SiteStage(lab, print) as stage:
            yield stage
    finally:
        lab.down()


def drill_of(name: str) -> SiteDrill:
    drill = DRILLS[name]
    assert isinstance(drill, SiteDrill)
    return drill


def must_pass(drill: SiteDrill, site: SiteStage, choices: Choices) -> Result:
    said: list[str] = []

    def say(text: str) -> None:
        print(text)
        said.append(text)

    result = perform_there(drill, site, choices, say)
    assert result.is_passed, "\n".join([*said, *result.notes])
    return result
