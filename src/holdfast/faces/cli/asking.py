"""Questions to the programs that run here: the controller first, else the host's agent."""

import contextlib
import itertools
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, unix_connect

from holdfast.faces.cli.exits import Exit, Failure
from holdfast.facts import wire
from holdfast.facts.settings import Settings

OPEN_LIMIT_S = 3.0
ANSWER_LIMIT_S = 30.0
REPLY_BYTES = 256 << 20

CONTROLLER = "controller"
AGENT = "agent"

Fact = TypeVar("Fact")

_ids = itertools.count(1)


class Away(Exception):
    """The program does not run, or does not answer; the text says which."""


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


@contextlib.contextmanager
def link_to(settings: Settings, program: str) -> Iterator[ClientConnection]:
    """Raises Away, also for a link that breaks while it is used, and Failure without the right."""
    path = Path(settings.run_dir) / f"{program}.sock"
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
        raise Failure(f"you may not talk to the {program} ({path})", hint, Exit.AWAY) from None
    except TimeoutError:
        raise Away(f"the {program} does not answer") from None
    except (FileNotFoundError, ConnectionRefusedError):
        raise Away(f"no {program} runs here") from None
    except (OSError, WebSocketException, EOFError):
        raise Away(f"the {program} ended while it was asked") from None


def replies(
    link: ClientConnection, name: str, args: dict[str, Any], limit_s: float | None = ANSWER_LIMIT_S
) -> Iterator[wire.Reply]:
    """Every reply to one question; `limit_s` bounds the wait for each. Raises Failure, Away."""
    question = wire.Question(id=next(_ids), name=name, args=args, by=login_user())
    link.send(wire.encode(question).decode())
    while True:
        try:
            frame = wire.decode(link.recv(timeout=limit_s))
        except wire.MalformedFrame as error:
            raise Failure(f"an answer is not understood: {error}", code=Exit.BROKEN) from None
        if not isinstance(frame, wire.Reply) or frame.id not in (0, question.id):
            continue
        if frame.error:
            raise Failure(frame.error, frame.hint, frame.code or Exit.REFUSED)
        yield frame
        if not frame.more:
            return


def ask_program(settings: Settings, program: str, name: str, /, **args: Any) -> Any:
    """The data of one answer. Raises Away, Failure."""
    with link_to(settings, program) as link:
        data = None
        for reply in replies(link, name, args):
            data = reply.data
        return data


def ask(settings: Settings, name: str, /, *, or_agent: bool = False, **args: Any) -> Said:
    """Ask the controller; `or_agent`: where it is away, the host's own agent. Raises Failure."""
    try:
        return Said(ask_program(settings, CONTROLLER, name, **args), CONTROLLER)
    except Away as away:
        reason = str(away)
    except Failure as failure:
        if not (or_agent and failure.code == Exit.AWAY):
            raise
        reason = failure.message
    if not or_agent:
        raise _needs_controller(settings, name, reason)
    note = f"{reason}: asked the agent of this host instead"
    try:
        return Said(ask_program(settings, AGENT, name, **args), AGENT, note)
    except Away as away:
        raise nothing_runs(reason, str(away)) from None


def nothing_runs(controller: str, agent: str) -> Failure:
    if controller == "no controller runs here" and agent == "no agent runs here":
        return Failure("Holdfast does not run here", "start it: sudo holdfast up", Exit.AWAY)
    return Failure(f"{controller}, and {agent}", "start both: sudo holdfast up", Exit.AWAY)


def is_running(settings: Settings, program: str) -> bool:
    """Whether something listens on the program's socket."""
    try:
        with link_to(settings, program):
            return True
    except Away as away:
        return "runs here" not in str(away)


def _needs_controller(settings: Settings, name: str, reason: str) -> Failure:
    if not is_running(settings, AGENT):
        return nothing_runs(reason, "no agent runs here")
    hint = f"{name} needs the controller; start it: sudo holdfast controller"
    return Failure(reason, hint, Exit.AWAY)


def convert(data: Any, kind: type[Fact]) -> Fact:
    """What came over the wire as a fact. Raises Failure for what does not fit."""
    try:
        return msgspec.convert(data, kind, strict=False)
    except msgspec.ValidationError as error:
        hint = "do the running programs have another version? restart them"
        raise Failure(f"an answer is not understood: {error}", hint, Exit.BROKEN) from None
