"""One route of the API: who may use it, what it takes, and what it gives.

Imports nothing but facts, since each command of a person reads it.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from holdfast.faces.api import shapes
from holdfast.facts.roles import Role

SEE, OPERATE, ADMINISTER = Role.SEE, Role.OPERATE, Role.ADMINISTER
_PARAMETER = re.compile(r"{(\w+)}")


class Route(Struct, frozen=True, kw_only=True):
    """`role` None: open to everybody. `question` is what the controller is asked.

    `rows`: a list that comes page by page under this name, each row known by its field `key`.
    `stronger`: arguments that need more than `role`. `example` is a body for the docs. No
    `question`: the API answers by itself.
    """

    method: str
    path: str
    role: Role | None
    question: str
    summary: str
    takes: type[Struct] = shapes.Nothing
    gives: Any = shapes.Anything
    rows: str = ""
    key: str = ""
    stronger: Mapping[str, Role] = {}
    is_stream: bool = False  # Server-sent events, without an end.
    example: Mapping[str, Any] = {}

    @property
    def parameters(self) -> tuple[str, ...]:
        """Those in the path."""
        return tuple(_PARAMETER.findall(self.path))

    @property
    def is_change(self) -> bool:
        return self.method != "GET"

    def fill(self, args: Mapping[str, Any]) -> str:
        """The path with these arguments in their places."""
        return _PARAMETER.sub(lambda found: quote(str(args[found[1]]), safe=""), self.path)


def make_route(where: str, role: Role | None, question: str, summary: str, /, **more: Any) -> Route:
    method, _, path = where.partition(" ")
    return Route(method=method, path=path, role=role, question=question, summary=summary, **more)
