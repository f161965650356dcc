"""Init and join end once this host's services run, and the site is well with it, as seen here."""

import time
from collections.abc import Callable
from typing import Any

from holdfast.faces.cli import asking, services
from holdfast.faces.cli.asking import AGENT, CONTROLLER
from holdfast.faces.cli.calling import Away
from holdfast.faces.cli.choosing import rows_of
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.hostname import name_of_host
from holdfast.faces.cli.services import Machine, Say
from holdfast.faces.cli.settings import Site
from holdfast.faces.cli.status_view import make_view
from holdfast.facts.settings import DEFAULT_FILE

READY_LIMIT_S = 60.0
WELL_LIMIT_S = 30.0
# Each controller hears of a new one within some seconds, and is started anew then.
STEADY_S = 6.0
POLL_S = 0.2
LOOKS, LOOK_EACH_S = 10, 0.05


def wait_for_services(site: Site, on: Machine, *, is_controller: bool) -> None:
    """Until the programs of this host answer, and its agent is linked. Raises Failure."""
    deadline = time.monotonic() + READY_LIMIT_S
    while not _is_ready(site, is_controller=is_controller):
        if time.monotonic() > deadline:
            refuse_what_ended(site, on)
            where = "journalctl -u 'holdfast-*'" if on.has_systemd else "/var/log/holdfast"
            text = f"the services were started, and do not answer within {READY_LIMIT_S:g} s"
            raise Failure(text, f"they say why: {where}", Exit.BROKEN)
        time.sleep(POLL_S)


def wait_well(
    site: Site,
    say: Say,
    on: Machine,
    *,
    steady_s: float = 0.0,
    limit_s: float = WELL_LIMIT_S,
    looking: Callable[[Site], list[str]] | None = None,
) -> bool:
    """Until nothing is missing for `steady_s`; what is by then is said, with what to look at.

    Raises Failure for a service of this host that does not run.
    """
    look = looking or what_is_missing
    begun = time.monotonic()
    well_since: float | None = None
    while True:
        missing = look(site)
        now = time.monotonic()
        well_since = None if missing else (now if well_since is None else well_since)
        if well_since is not None and now - well_since >= steady_s:
            return True
        if now - begun > limit_s:
            break
        time.sleep(POLL_S)
    if not missing:  # It was the last to begin anew, a moment ago.
        return True
    refuse_what_ended(site, on)
    say(f"not all is well after {limit_s:g} s: {'; '.join(missing)}")
    say("it may need a little longer; look again: holdfast status")
    return False


def what_is_missing(site: Site) -> list[str]:
    """What a new host waits for, in words. What was wrong with other hosts before is not it."""
    own = name_of_host(site.settings)
    try:
        asking.ask_program(site, AGENT, "status")
        told: dict[str, Any] = asking.ask_program(site, CONTROLLER, "status")
    except Away as away:
        return [str(away)]
    except Failure as failure:
        return [failure.message]
    view = make_view(told, None, agent_away=None)
    found = [f"{part.name}: {part.said}" for part in view.parts if not part.is_well]
    living = [one["host_name"] for one in rows_of(told, "hosts") if one.get("planes_heard")]
    awaited = [host for host in told.get("agents_awaited") or [] if host in living]
    found += [f"the agent of {host} has not been heard yet" for host in awaited]
    if told.get("pulses") and own not in living:
        found.append(f"the pulse of {own} is not heard yet")
    return found


def refuse_what_ended(site: Site, on: Machine) -> None:
    """Raises Failure for services of this host that do not run, or end again and again."""
    settings, config = site.settings, site.config or DEFAULT_FILE
    wanted = [one.name for one in services.services_of(settings, config, name_of_host(settings))]
    ended = set[str]()
    for _ in range(LOOKS):
        ended |= {one for one in wanted if not services.runs(one, settings, on)}
        time.sleep(LOOK_EACH_S)
    if not ended:
        return
    names = [one for one in wanted if one in ended]
    does = "does" if len(names) == 1 else "do"
    raise Failure(
        f"the {' and the '.join(names)} of this host {does} not run, or end again and again",
        "\n".join(f"why: {services.words_of(one, on)}" for one in names),
        Exit.BROKEN,
    )


def _is_ready(site: Site, *, is_controller: bool) -> bool:
    """The agent says whether a controller welcomed it; the list of tokens is in the store."""
    try:
        told = asking.ask_program(site, AGENT, "status")
        if is_controller:
            asking.ask_program(site, CONTROLLER, "joins")
    except (Away, Failure):
        return False
    return bool(told.get("controller"))
