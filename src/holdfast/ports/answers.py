"""How a question ends when it cannot be answered: a sentence, what to do, and an exit code."""

import difflib
from collections.abc import Iterable

USAGE, AWAY, REFUSED = 2, 3, 4  # As the command line documents them.


class Unanswerable(Exception):
    """`hint` says what to do about it."""

    def __init__(self, error: str, hint: str = "", code: int = REFUSED) -> None:
        super().__init__(error)
        self.hint, self.code = hint, code


class Unknown(Unanswerable):
    """There is nothing of this name."""


class LeaderElsewhere(Unanswerable):
    """Only the leader may do it, and that is another: nothing was changed."""

    def __init__(self, error: str, leader: str) -> None:
        super().__init__(error, f"ask {leader}; alarms are still reported", AWAY)
        self.leader = leader


NO_SITE = "this host belongs to no site"
MAKE_SITE = "make one: sudo holdfast init"


def unknown(what: str, name: str, known: Iterable[str], lister: str) -> Unknown:
    """There is no such VM, group, ...: name the near ones, or the command that lists all."""
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"{lister} lists what there is"
    return Unknown(f"there is no {what} {name!r}", hint, USAGE)
