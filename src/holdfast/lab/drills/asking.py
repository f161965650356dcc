"""Asks a running agent or controller over its socket, as any client of theirs would."""

import itertools
from pathlib import Path
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import unix_connect

from holdfast.facts import wire
from holdfast.lab.commands import LabError

LIMIT_S = 5.0
_ids = itertools.count(1)


class NotAnswered(LabError):
    """The program is away, or does not answer in time."""


def ask(socket: Path, name: str, **args: Any) -> Any:
    """The data of one answer. Raises NotAnswered, and LabError when the answer is a refusal."""
    question = wire.Question(id=next(_ids), name=name, args=args, by="drill")
    try:
        with unix_connect(
            str(socket),
            uri="ws://localhost/",
            compression=None,
            open_timeout=LIMIT_S,
            close_timeout=1.0,
            max_size=64 << 20,
        ) as link:
            link.send(wire.encode(question).decode())
            while True:
                reply = wire.decode(link.recv(timeout=LIMIT_S))
                if isinstance(reply, wire.Reply) and reply.id == question.id:
                    break
    except (OSError, TimeoutError, WebSocketException, EOFError, wire.MalformedFrame) as error:
        raise NotAnswered(f"{socket.name}: {name} was not answered: {error}") from None
    if reply.error:
        raise LabError(f"{socket.name}: {name}: {reply.error}")
    return reply.data
