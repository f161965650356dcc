"""Who leaves is told what is true of its site, and what to type next."""

import ssl
from typing import Any

import pytest

from holdfast.adapters.drivers.site_client import SiteAway, SiteClient, SiteRefused
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.goodbye import left_to_do, say_goodbye
from holdfast.facts.settings import ControllerPlace, Settings

PLACES = tuple(ControllerPlace(name=name, address="127.0.0.1") for name in ("h1", "h2"))
HOST = Settings(host_name="h4", controllers=PLACES)
AWAY = SiteAway("nobody answers at 10.0.0.1", is_silent=True)
STARTING = SiteRefused("the store is away", "try again", Exit.AWAY)
OUT = SiteRefused("the certificate of h4 is revoked", "holdfast leave --alone", Exit.REFUSED)
BOUND = SiteRefused("protected VMs run on h4: web", "holdfast vm unprotect web", Exit.REFUSED)
REVOKE = "holdfast ca certificate revoke h4 --reason left"


class Controller(SiteClient):
    """It answers each question with the next of its answers; with the last one for ever."""

    def __init__(self, *answers: Exception | None) -> None:
        super().__init__("127.0.0.1", 1, ssl.create_default_context())
        self.answers, self.asked = list(answers), list[str]()

    def _ask(self, method: str, path: str, body: str | None) -> dict[str, Any]:
        del body
        self.asked.append(f"{method} {path}")
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is not None:
            raise answer
        return {}


def goodbye(*controllers: Controller, patience_s: float = 20) -> list[str]:
    said = list[str]()
    say_goodbye(HOST, said.append, controllers, patience_s)
    return said


@pytest.mark.parametrize("answer", [AWAY, STARTING])
def test_a_controller_that_starts_again_is_waited_for(answer: Exception) -> None:
    assert goodbye(Controller(answer, None))[0].startswith("the site has forgotten this host")


def test_one_controller_that_answers_is_enough() -> None:
    assert len(goodbye(Controller(AWAY), Controller(None), patience_s=0)) == 1


def test_a_refusal_is_not_asked_again() -> None:
    other = Controller(None)
    with pytest.raises(Failure, match="protected VMs run on h4"):
        goodbye(Controller(BOUND), other)
    assert other.asked == []


def test_who_reaches_nobody_is_told_what_to_type_on_a_controller() -> None:
    with pytest.raises(Failure, match="nobody answers") as failed:
        goodbye(Controller(AWAY), patience_s=0)
    assert REVOKE in failed.value.hint
    assert "told later" not in failed.value.hint


def left(*controllers: Controller, settings: Settings = HOST, is_here: bool = True) -> str:
    return left_to_do(settings, is_here=is_here, clients=controllers)


def test_what_is_left_to_do_after_leaving_alone() -> None:
    assert REVOKE in left(Controller(None))
    assert REVOKE in left(Controller(AWAY), Controller(STARTING))
    assert REVOKE in left(is_here=False)


def test_a_host_that_was_put_out_has_nothing_left_to_do() -> None:
    assert left(Controller(AWAY), Controller(OUT)) == (
        "the site had put h4 out already: nothing is left to do there"
    )


def test_the_only_controller_sends_nobody_to_a_controller() -> None:
    alone = Settings(host_name="h1", controllers=PLACES[:1])
    said = left(Controller(None), settings=alone)
    assert "there is no site any more" in said
    assert "revoke" not in said


def test_a_host_of_no_site_hears_of_none() -> None:
    assert left(settings=Settings(host_name="h4"), is_here=False) == ""
