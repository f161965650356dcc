"""An agent obeys only the newest leader it has heard of; that outlives the agent, not the store."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from holdfast.facts import wire

# What only a leader may command. What people ask of this host goes through any controller.
COMMANDS = {
    "grant",
    "release",
    "group",
    "group-forget",
    "disarm",
    "arm",
    "start-here",
    "take-back",
    "migrate-in",
    "migrate-out",
    "migrate-cancel",
    "migration-look",
    "migration-end",
}
REFUSED = 4
RESTORED_HINT = "there: holdfast leave --alone; then let it join the restored site"


class _Heard(Struct, frozen=True, kw_only=True):
    store_id: str = ""
    term: int = 0
    replaced: tuple[str, ...] = ()


class Terms:
    """Without a path it remembers for as long as it lives."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._heard = _read(path)

    @property
    def highest(self) -> int:
        return self._heard.term

    def is_outdated(self, store_id: str, term: int) -> bool:
        """Terms of another store cannot be compared: it was made anew by people. One that was
        restored since is outdated for ever, whatever its term."""
        if self.is_replaced(store_id):
            return True
        return store_id == self._heard.store_id and term < self._heard.term

    def is_replaced(self, store_id: str) -> bool:
        return store_id in self._heard.replaced

    def heard(self, store_id: str, term: int, replaces: tuple[str, ...] = ()) -> None:
        """What was replaced once stays so, whoever does not know of it."""
        replaced = tuple(dict.fromkeys((*self._heard.replaced, *replaces)))
        heard = _Heard(store_id=store_id, term=term, replaced=replaced)
        if heard != self._heard:
            self._heard = heard
            self._keep()

    def guard(
        self, answer: Callable[[wire.Question], Awaitable[wire.Reply]]
    ) -> Callable[[wire.Question], Awaitable[wire.Reply]]:
        """Answers for links: what an older leader commands is refused, and why."""

        async def guarded(question: wire.Question) -> wire.Reply:
            is_command = question.name in COMMANDS
            if self.is_replaced(question.store_id) and (is_command or question.term > 0):
                text = "a controller of a store that was replaced by a restored one is not obeyed"
                return wire.Reply(id=question.id, error=text, hint=RESTORED_HINT, code=REFUSED)
            if question.term < self.highest and (is_command or question.term > 0):
                text = f"a controller of term {question.term} is not obeyed: {self.highest} leads"
                hint = "ask the controller that leads: holdfast status"
                return wire.Reply(id=question.id, error=text, hint=hint, code=REFUSED)
            return await answer(question)

        return guarded

    def _keep(self) -> None:
        """Lost with a power cut, the next welcome says it again."""
        if self._path is None:
            return
        beside = self._path.with_suffix(".new")
        try:
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.encode(self._heard))
            beside.replace(self._path)
        except OSError:
            return  # It is still known to this run.


def _read(path: Path | None) -> _Heard:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Heard) if path else _Heard()
    except (OSError, msgspec.MsgspecError):
        return _Heard()
