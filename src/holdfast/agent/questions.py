"""What the agent answers when asked: one table, for the controller and for its own door."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import structs

from holdfast.facts import commands as told
from holdfast.facts import wire
from holdfast.facts.instants import Instant, after
from holdfast.facts.promises import Disarm, Group, Protection, disarm_seconds, group_problem
from holdfast.facts.typed import cleaned
from holdfast.ports import clock
from holdfast.ports.answers import USAGE, Unanswerable

HERE = " (told on this host)"
PLAIN = msgspec.to_builtins
Handler = Callable[[wire.Question], Awaitable[Any]]


class Questions:
    """Handlers are added by the parts of the agent that know the answers."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def add(self, name: str, handler: Handler) -> None:
        self._handlers[name] = handler

    async def answer(self, question: wire.Question) -> wire.Reply:
        handler = self._handlers.get(question.name)
        if handler is None:
            known = ", ".join(sorted(self._handlers))
            error = f"the agent does not know the question {question.name!r}"
            return wire.Reply(id=question.id, error=error, hint=f"it knows: {known}", code=2)
        try:
            data = await handler(structs.replace(question, args=cleaned(question.args)))
        except Unanswerable as error:
            return wire.Reply(id=question.id, error=str(error), hint=error.hint, code=error.code)
        except (msgspec.ValidationError, KeyError, TypeError, ValueError) as error:
            text = f"the question {question.name!r} cannot be understood: {error}"
            return wire.Reply(id=question.id, error=text, code=2)
        return wire.Reply(id=question.id, data=data)


def read_disarm(args: dict[str, Any], by: str, at: Instant) -> told.Disarmed:
    """From the controller a whole Disarm, with how long it lasts from now; from a person here a
    reason and seconds."""
    utc_ms = clock.utc_ms()
    left_ms = None
    if "disarm" in args:
        disarm = msgspec.convert(args["disarm"], Disarm)
        left_ms = msgspec.convert(args.get("left_ms"), int | None)
    else:
        try:
            seconds = disarm_seconds(args.get("seconds"))
        except ValueError as error:
            raise Unanswerable(str(error), "use --for 1h", USAGE) from None
        if not str(args.get("reason") or "").strip():
            raise Unanswerable("a disarm needs a reason", "use --reason TEXT", USAGE)
        disarm = Disarm(
            owner=by + HERE,
            told_on="this host",
            reason=str(args["reason"]),
            since_utc_ms=utc_ms,
            until_utc_ms=utc_ms + int(seconds * 1_000),
        )
    if left_ms is None:  # A controller of an earlier version does not say it.
        left_ms = disarm.left_ms(utc_ms)
    return told.Disarmed(at=at, disarm=disarm, until=after(at, left_ms))


def read_protection(args: dict[str, Any]) -> Protection:
    return msgspec.convert(args["protection"], Protection)


def read_group(args: dict[str, Any]) -> Group:
    """Raises Unanswerable, KeyError, ValidationError."""
    group = msgspec.convert(args["group"], Group)
    if problem := group_problem(msgspec.structs.asdict(group)):
        raise Unanswerable(problem, "holdfast group set --help", USAGE)
    return group
