"""Questions to the programs: the controller through its API first, else the host's own agent."""

import contextlib
import itertools
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import click
import msgspec

from holdfast.faces.api.routes import Route, route_for
from holdfast.faces.cli.calling import NOBODY_HERE, OPEN_LIMIT_S, Away, Place, call, connected
from holdfast.faces.cli.elsewhere import place_elsewhere, place_of_the_site
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.settings import Site
from holdfast.facts import wire
from holdfast.facts.settings import Settings

ANSWER_LIMIT_S = 30.0
REPLY_BYTES = 256 << 20

INIT_SCRIPT = Path("/etc/init.d/holdfast")

CONTROLLER = "controller"
AGENT = "agent"

Fact = TypeVar("Fact")

_ids = itertools.count(1)


@dataclass(frozen=True)
class Said:
    """An answer, and which program gave it. `note` is for people: why it was not the controller."""

    data: Any
    source: str
    note: str = ""


def login_user() -> str:
    """Who types: the person behind sudo, where there is one."""
    for variable in ("SUDO_USER", "LOGNAME"):
        if os.environ.get(variable):
            return os.environ[variable]
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def ask_program(site: Site, program: str, name: str, /, **args: Any) -> Any:
    """The data of one answer. Raises Away, Failure."""
    if program == AGENT:
        return _ask_agent(site.settings, name, args)
    with connected(place_of(site)) as connection:
        route = route_for(name, args)
        asked = dict(args)
        found: list[Any] = []
        while True:
            data = call(connection, route.method, *_request(site, route, asked))
            if not route.rows:
                return data
            found += data[route.rows]
            if not data["next"]:
                return found
            asked["after"] = data["next"]


def ask(site: Site, name: str, /, *, or_agent: bool = False, **args: Any) -> Said:
    """Ask the controller; `or_agent`: where it is away, the host's own agent. Raises Failure."""
    try:
        if or_agent:
            return Said(ask_program(site, CONTROLLER, name, **args), CONTROLLER)
        return Said(_ask_patiently(site, name, args), CONTROLLER)
    except Away as away:
        reason = str(away)
    except Failure as failure:
        if not (or_agent and failure.code == Exit.AWAY and not site.is_elsewhere):
            raise
        reason = failure.message
    if site.is_elsewhere:
        raise Failure(reason, "is it the right --controller?", Exit.AWAY)
    if not or_agent:
        raise _needs_controller(site.settings, reason)
    note = f"{reason}: asked the agent of this host instead"
    try:
        return Said(ask_program(site, AGENT, name, **args), AGENT, note)
    except Away as away:
        raise nothing_runs(reason, str(away)) from None


def _ask_patiently(site: Site, name: str, args: dict[str, Any]) -> Any:
    """Also while the controller is started anew. What may have been done is not done twice."""

    def is_worth(away: Away) -> bool:
        is_asked = str(away) != NOBODY_HERE
        return not (site.is_elsewhere or (is_asked and route_for(name, args).is_change))

    # Late: where the controller answers at once, nobody looks for services.
    from holdfast.faces.cli.pausing import wait_out

    return wait_out(site.settings, lambda: ask_program(site, CONTROLLER, name, **args), is_worth)


def nothing_runs(controller: str, agent: str) -> Failure:
    is_both = controller == NOBODY_HERE and agent == "no agent runs here"
    text = "Holdfast does not run here" if is_both else f"{controller}, and {agent}"
    return Failure(text, f"start {'it' if is_both else 'both'}: {starter()}", Exit.AWAY)


def starter() -> str:
    """The command that starts Holdfast here: as services, where a site was made or joined."""
    if _has_units():
        return "sudo systemctl start holdfast.target"
    if INIT_SCRIPT.exists():
        return f"sudo {INIT_SCRIPT} start"
    return "sudo holdfast up"


def has_services() -> bool:
    return _has_units() or INIT_SCRIPT.exists()


def _has_units() -> bool:
    return Path("/etc/systemd/system/holdfast.target").exists()


def is_running(settings: Settings, program: str) -> bool:
    """Whether something listens on the program's socket on this host."""
    try:
        if program == AGENT:
            with _link_to_agent(settings):
                return True
        with connected(_socket(settings)):
            return True
    except Away as away:
        return "runs here" not in str(away)


def place_of(site: Site) -> Place:
    """The API that was named, or the one on this host, or of the site that it belongs to."""
    return place_elsewhere(site) or place_of_the_site(site) or _socket(site.settings)


def headers_of(site: Site) -> dict[str, str]:
    """Who asks: a token elsewhere; on this host the name of the person who types."""
    token = place_of(site).token
    by = login_user().encode("ascii", "replace").decode()
    return {"Authorization": f"Bearer {token}"} if token else {"X-Holdfast-By": by}


def _socket(settings: Settings) -> Place:
    return Place(socket=str(Path(settings.run_dir) / "api.sock"))


def _request(
    site: Site, route: Route, args: dict[str, Any]
) -> tuple[str, dict[str, str], dict[str, Any] | None]:
    """Path, headers and body."""
    rest = {name: value for name, value in args.items() if name not in route.parameters}
    if route.is_change:
        return route.fill(args), headers_of(site), rest
    query = {n: str(v).lower() if isinstance(v, bool) else v for n, v in rest.items() if v != ""}
    path = route.fill(args) + (f"?{urlencode(query)}" if query else "")
    return path, headers_of(site), None


@contextlib.contextmanager
def _link_to_agent(settings: Settings) -> Iterator[Any]:
    """Raises Away, also for a link that breaks while it is used, and Failure without the right."""
    # Late: where the controller answers, the agent's own socket is not opened.
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import unix_connect  # Late: likewise.

    path = Path(settings.run_dir) / "agent.sock"
    try:
        with unix_connect(
            str(path),
            uri="ws://localhost/",
            compression=None,
            max_size=REPLY_BYTES,
            open_timeout=OPEN_LIMIT_S,
            close_timeout=1.0,
        ) as link:
            yield link
    except PermissionError:
        hint = "run this with sudo: only root may"
        raise Failure(f"you may not talk to the agent ({path})", hint, Exit.AWAY) from None
    except TimeoutError:
        raise Away("the agent does not answer") from None
    except (FileNotFoundError, ConnectionRefusedError):
        raise Away("no agent runs here") from None
    except (OSError, WebSocketException, EOFError):
        raise Away("the agent ended while it was asked") from None


def _ask_agent(settings: Settings, name: str, args: dict[str, Any]) -> Any:
    """Raises Failure, Away."""
    question = wire.Question(id=next(_ids), name=name, args=args, by=login_user())
    with _link_to_agent(settings) as link:
        link.send(wire.encode(question).decode())
        while True:
            try:
                frame = wire.decode(link.recv(timeout=ANSWER_LIMIT_S))
            except wire.MalformedFrame as error:
                raise Failure(f"an answer is not understood: {error}", code=Exit.BROKEN) from None
            if not isinstance(frame, wire.Reply) or frame.id not in (0, question.id):
                continue
            if frame.error:
                raise Failure(frame.error, frame.hint, frame.code or Exit.REFUSED)
            return frame.data


def _needs_controller(settings: Settings, reason: str) -> Failure:
    if not is_running(settings, AGENT):
        return nothing_runs(reason, "no agent runs here")
    start = starter() if has_services() else "sudo holdfast controller"
    typed = click.get_current_context(silent=True)
    hint = f"{typed.command_path if typed else 'this'} needs the controller; start it: {start}"
    return Failure(reason, hint, Exit.AWAY)


def convert(data: Any, kind: type[Fact]) -> Fact:
    """What came over the wire as a fact. Raises Failure for what does not fit."""
    try:
        return msgspec.convert(data, kind, strict=False)
    except msgspec.ValidationError as error:
        hint = "do the running programs have another version? restart them"
        raise Failure(f"an answer is not understood: {error}", hint, Exit.BROKEN) from None
