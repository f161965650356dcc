"""Status says of what was lost why: a full disk is freed, a damaged one is looked at."""

from holdfast.faces.cli.status_view import make_view
from holdfast.ports.journal import Losses, losses_told

FULL = "No space left on device"


def test_a_loss_is_shown_with_its_reason() -> None:
    told = losses_told({"journal": lambda: Losses(count=3, reason=FULL), "outbox": Losses})
    assert told == {"records_lost": {"journal": 3, "outbox": 0}, "lost_because": {"journal": FULL}}
    assert make_view(told, None).warnings == (f"3 records of journal were lost: {FULL}",)
    assert make_view(None, told).warnings == (f"3 records of the journal were lost: {FULL}",)


def test_a_program_of_the_version_before_gives_no_reason() -> None:
    told = {"records_lost": {"journal": 2}}
    assert make_view(None, told).warnings == ("2 records of the journal were lost",)
