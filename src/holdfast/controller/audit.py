"""Every change by somebody is written down before it is done, and again with what came of it."""

import asyncio
import errno
import logging
import os
import uuid
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from holdfast.adapters.drivers.fence_metadata import is_secret
from holdfast.adapters.drivers.private_folder import make_private_folder
from holdfast.controller.events import Events
from holdfast.facts.change_words import VM_NAME, said
from holdfast.facts.events import Change, EventKind
from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.roles import Caller
from holdfast.ports import clock
from holdfast.ports.answers import AWAY, LeaderElsewhere, Unanswerable
from holdfast.ports.journal import Losses

log = logging.getLogger(__name__)

FILE_BYTES = 8 << 20
FILES = 8
WRITE_LIMIT_S = 2.0
SECRETS = ("token", "secret", "secrets", "csr", "template")  # A template may have passwords.
ARGUMENT_LETTERS = 500


class Audit:
    """Lines of JSON in files of a bounded size. A disk that is full or stalled hinders no change:
    that is counted, logged, and shown in status. `name_of` gives the name of a VM by its uuid."""

    def __init__(
        self,
        folder: Path,
        events: Events,
        *,
        name_of: Callable[[str], str] = lambda _: "",
        file_bytes: int = FILE_BYTES,
        write_limit_s: float = WRITE_LIMIT_S,
    ) -> None:
        self._folder, self._events, self._file_bytes = folder, events, file_bytes
        self._name_of = name_of
        self._write_limit_s = write_limit_s
        self._writer = ThreadPoolExecutor(1, "audit")
        self._stalled: asyncio.Future[None] | None = None
        self._lost = Losses()
        self._writing = asyncio.Lock()

    async def around(
        self, what: str, args: dict[str, Any], caller: Caller, change: Callable[[], Awaitable[Any]]
    ) -> Any:
        """Do it between two lines. Raises what it raises."""
        entry = self._entry(what, args, caller)
        await self._write(entry)
        began = clock.now()
        outcome, reason = "failed", "it was given up before it had ended"
        try:
            data = await change()
            outcome, reason = "done", ""
            return data
        except LeaderElsewhere as error:
            outcome, reason = "passed on", f"{error.leader} leads"
            raise
        except Unanswerable as error:
            outcome = "failed" if error.code == AWAY else "refused"
            reason = str(error)
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise
        finally:
            took_ms = (clock.now() - began) / NS_PER_MS
            ended = structs.replace(
                entry, outcome=outcome, reason=reason, took_ms=round(took_ms, 1)
            )
            await asyncio.shield(self._end(ended))

    async def not_permitted(
        self, what: str, args: dict[str, Any], caller: Caller, reason: str
    ) -> None:
        entry = self._entry(what, args, caller)
        await self._end(structs.replace(entry, outcome="not permitted", reason=reason))

    async def newest(self, limit: int) -> list[Change]:
        """The newest last, each once, with its outcome where it is known."""
        return await asyncio.to_thread(self._read, limit)

    def losses(self) -> Losses:
        return self._lost

    def _entry(self, what: str, args: dict[str, Any], caller: Caller) -> Change:
        """With the name that a VM has now: programs name it by its uuid, and it may be gone when
        somebody reads of it."""
        shown = {
            name: "..." if name in SECRETS else _short(value)
            for name, value in args.items()
            if value not in (None, "", {})
        }
        vm_name = self._name_of(str(args.get("vm") or ""))
        if vm_name:
            shown[VM_NAME] = vm_name
        return Change(
            id=uuid.uuid4().hex[:12],
            utc_ms=clock.utc_ms(),
            who=caller.name,
            role=caller.role,
            origin=caller.origin,
            what=what,
            args=shown,
        )

    async def _end(self, entry: Change) -> None:
        await self._write(entry)
        self._events.note(EventKind.CHANGE, sentence(entry), entry)

    async def _write(self, entry: Change) -> None:
        """A disk that is full or stalled hinders nobody."""
        async with self._writing:
            if self._stalled is not None and not self._stalled.done():
                return self._count("the disk still does not answer", entry)
            line = msgspec.json.encode(entry) + b"\n"
            older = self._folder / f"audit-{clock.utc_ms():015}.jsonl"
            loop = asyncio.get_running_loop()
            work = asyncio.ensure_future(
                loop.run_in_executor(self._writer, self._append, line, older)
            )
            try:
                async with asyncio.timeout(self._write_limit_s):
                    await asyncio.shield(work)
            except TimeoutError:
                self._stalled = work
                work.add_done_callback(lambda done: done.exception())
                self._count(f"the disk did not answer within {self._write_limit_s:g} s", entry)
            except OSError as error:
                self._count(str(error), entry)

    def _count(self, reason: str, entry: Change) -> None:
        self._lost = Losses(count=self._lost.count + 1, reason=reason)
        log.error("a change could not be written down: %s: %s", reason, sentence(entry))

    def _append(self, line: bytes, older: Path) -> None:
        """Raises OSError. What a crash or a full disk left of a line is ended first."""
        make_private_folder(self._folder)
        path = self._folder / "audit.jsonl"
        if path.exists() and path.stat().st_size + len(line) > self._file_bytes:
            path.rename(older)
            for old in sorted(self._folder.glob("audit-*.jsonl"))[: -FILES + 1]:
                old.unlink()
        whole = b"\n" + line if _ends_in_half_a_line(path) else line
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.write(fd, whole) < len(whole):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(fd)
        finally:
            os.close(fd)

    def _read(self, limit: int) -> list[Change]:
        found: dict[str, Change] = {}
        for path in [self._folder / "audit.jsonl", *self._older()]:
            found = {entry.id: entry for entry in _entries(path)} | found
            if len(found) >= limit:
                break
        return sorted(found.values(), key=lambda entry: entry.utc_ms)[-limit:]

    def _older(self) -> list[Path]:
        return sorted(self._folder.glob("audit-*.jsonl"), reverse=True)


def _ends_in_half_a_line(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() != b"\n"
    except OSError:
        return False  # It is empty, or not there.


def sentence(entry: Change) -> str:
    """One change in words."""
    about = said(entry.what, entry.args)
    why = f": {entry.reason}" if entry.reason else ""
    return f"{entry.who} ({entry.role}, {entry.origin}): {about}: {entry.outcome}{why}"


def _short(value: Any) -> Any:
    """Of options by name also those hidden that hold a secret, and should not have."""
    if isinstance(value, dict):
        return {
            str(name)[:ARGUMENT_LETTERS]: "..." if is_secret(str(name).lower()) else _short(one)
            for name, one in value.items()
        }
    return value[:ARGUMENT_LETTERS] if isinstance(value, str) else value


def _entries(path: Path) -> Iterator[Change]:
    """Lines that a power cut left half are passed by."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=Change)
        except msgspec.MsgspecError:
            continue
