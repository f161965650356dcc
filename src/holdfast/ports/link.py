"""A link between two programs: whole messages, in order, until one side hangs up."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct


class LinkRefused(OSError):
    """The other side is not who it should be, or will not have us; the text says which."""


class Connection(Protocol):
    """What breaks off raises an OSError, or what the library of the link raises (LINK_ENDED)."""

    async def send(self, message: bytes, *, text: bool | None = None) -> None: ...

    async def recv(self) -> str | bytes: ...

    def __aiter__(self) -> AsyncIterator[str | bytes]: ...


class Dial(Struct, frozen=True, kw_only=True):
    """How to reach one controller. `open` raises OSError, TimeoutError, LinkRefused."""

    name: str
    open: Callable[[], AbstractAsyncContextManager[Connection]]
