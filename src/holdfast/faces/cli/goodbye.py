"""A host that leaves says so to its site; and what is left to do there where it did not."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.adapters.drivers.certificates import CertificateProblem, Certificates
from holdfast.adapters.drivers.site_client import SiteAway, SiteClient, SiteRefused
from holdfast.faces.cli import site_words
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.hostname import name_of_host
from holdfast.faces.cli.services import Say
from holdfast.facts.settings import Settings

ALONE = "holdfast leave --alone"
PATIENCE_S, AGAIN_S = 10.0, 0.5


def say_goodbye(
    settings: Settings,
    say: Say,
    clients: Sequence[SiteClient] | None = None,
    patience_s: float = PATIENCE_S,
) -> None:
    """To any controller that can do it; one that starts again just now is waited for. Raises
    Failure with the last reason."""
    found = _clients(settings) if clients is None else clients
    deadline = time.monotonic() + patience_s
    while True:
        told = _said_by_one(settings, found)
        if not isinstance(told, Failure):
            say("the site has forgotten this host, and its certificate opens nothing any more")
            if settings.place_of(name_of_host(settings)) is not None:
                for lack in site_words.lacking(told):
                    say(lack)
            return
        if told.code != Exit.AWAY or time.monotonic() > deadline:
            raise told
        time.sleep(AGAIN_S)


def left_to_do(
    settings: Settings, *, is_here: bool, clients: Sequence[SiteClient] | None = None
) -> str:
    """After `leave --alone`: asked while the certificate is still here. Empty: there is no site."""
    own = name_of_host(settings)
    names = [place.name for place in settings.controllers]
    if names == [own]:
        return (
            f"{own} was the only controller: there is no site any more."
            f" Does a host still belong to it? there: {ALONE}"
        )
    if not (is_here or names):
        return ""
    if is_here and _is_out(_others(settings) if clients is None else clients):
        return f"the site had put {own} out already: nothing is left to do there"
    return f"the site still knows {own}; on a controller: {site_words.put_out(own, 'left')}"


def _said_by_one(settings: Settings, clients: Sequence[SiteClient]) -> Failure | Mapping[str, Any]:
    """What the site said once it knows; else why it does not."""
    own = name_of_host(settings)
    later = f"{ALONE} undoes what is here; then, on a controller: {site_words.put_out(own, 'left')}"
    reason = Failure("no controller is known", ALONE)
    for client in clients:
        try:
            return client.post("/v1/leave", {})
        except SiteRefused as refused:
            reason = Failure(str(refused), refused.hint, refused.code)
            if refused.code != Exit.AWAY:
                return reason
        except SiteAway as away:
            reason = Failure(str(away), f"try again in a moment; or: {later}", Exit.AWAY)
    return reason


def _is_out(clients: Sequence[SiteClient]) -> bool:
    """Whether a controller says that our certificate opens nothing any more."""
    for client in clients:
        try:
            client.get("/v1/site")
        except SiteRefused as refused:
            return refused.code != Exit.AWAY
        except SiteAway:
            continue
        else:
            return False
    return False


def _clients(settings: Settings) -> list[SiteClient]:
    """We ourselves last: a controller that ends its own membership cannot answer for it."""
    own = name_of_host(settings)
    try:
        tls = Certificates(settings.tls_dir).client_context()
    except CertificateProblem as problem:
        raise Failure(str(problem), ALONE) from None
    places = sorted(settings.controllers, key=lambda one: one.name == own)
    return [SiteClient(place.address, settings.api_port, tls) for place in places]


def _others(settings: Settings) -> list[SiteClient]:
    own = settings.place_of(name_of_host(settings))
    try:
        found = _clients(settings)
    except Failure:
        return []
    return [one for one in found if own is None or one.address != own.address]
