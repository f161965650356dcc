"""Moves a running VM to another host. Each end of a move has one."""

from typing import Protocol

from msgspec import Struct

from holdfast.facts.migrations import End, Progress


class Place(Struct, frozen=True, kw_only=True):
    """Where the other end's tunnel listens, and which host that must be."""

    host: str
    address: str
    port: int


class Looked(Struct, frozen=True, kw_only=True):
    """What is here of a VM now. `pause_ms` is that of the move that brought it here. `is_left`: it
    moves, as it stands still for the other end, and nobody carries that move on any more."""

    end: End
    progress: Progress = Progress()
    pause_ms: int | None = None
    is_left: bool = False


class Migrator(Protocol):
    """Every method raises CallFailed. VMs are named by uuid."""

    def why_not(self) -> str:
        """Why no VM can be moved safely from or to this host, or empty."""
        ...

    async def receive(self, vm: str, source: str, address: str) -> int:
        """Let the source host in, and it alone, at the port returned. A repeat begins anew."""
        ...

    async def send(self, vm: str, place: Place, limit_s: float) -> None:
        """Move it there while it runs, and return when it runs there and not here. It is called
        off at the limit; after a failure nobody knows where it runs: `look`."""
        ...

    async def look(self, vm: str) -> Looked:
        """While this end lets a move in or sends one, what it has is not settled: it moves."""
        ...

    async def cancel(self, vm: str) -> None:
        """Call the move off, if it still can be. None under way is a success."""
        ...

    async def leave(self, vm: str) -> None:
        """The move is over: nobody is let in any more. None under way is a success."""
        ...

    async def close(self) -> None: ...
