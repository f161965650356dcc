"""The store in one SQLite file, for a site with one controller: nothing to install.

Each commit is on the disk before it is told (synchronous=FULL). A damaged file is set aside with
a note beside it, and never silently begun anew: that would forget who may run which VM.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from holdfast.adapters.drivers.private_folder import make_private_folder
from holdfast.ports.store import Changed, Held, StoreAway, Txn, TxnResult, WatchLost

LOCK_WAIT_S = 2.0
POLL_S = 0.5
CHANGES_KEPT = 10_000
STILL_SERVES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY}  # It can be read, and written later.
_OPEN = """
PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
CREATE TABLE IF NOT EXISTS held (key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INT NOT NULL)
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changed (revision INT NOT NULL, key TEXT NOT NULL, value BLOB);
CREATE INDEX IF NOT EXISTS changed_revision ON changed (revision);
CREATE TABLE IF NOT EXISTS now (revision INT NOT NULL, compacted INT NOT NULL, term INT NOT NULL,
  owner TEXT);
INSERT INTO now SELECT 0, 0, 0, NULL WHERE NOT EXISTS (SELECT 1 FROM now);
"""

Result = TypeVar("Result")


class StoreDamaged(StoreAway):
    """The file cannot be trusted; the text says where it is now, and what to do."""


class Sqlite:
    """See ports.store.Store. It is opened when first used, and again after it was away.

    A term is +1 per start, and deposes the one before: a lock on the state directory makes sure
    that only one controller uses it.
    """

    def __init__(
        self, path: Path, *, changes_kept: int = CHANGES_KEPT, poll_s: float = POLL_S
    ) -> None:
        self._path = path
        self._changes_kept = changes_kept
        self._poll_s = poll_s
        self._db: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._watchers: set[asyncio.Event] = set()

    async def begin_term(self, owner: str, lease_ms: int) -> int | None:
        del lease_ms  # Nobody else can hold it.

        def begin(db: sqlite3.Connection) -> int:
            db.execute("UPDATE now SET term = term + 1, owner = ?", (owner,))
            return int(db.execute("SELECT term FROM now").fetchone()[0])

        return await self._write(begin)

    async def keep_term(self, term: int) -> bool:
        return await self._run(lambda db: _is_current(db, term))

    async def end_term(self, term: int) -> None:
        sql = "UPDATE now SET owner = NULL WHERE term = ?"
        await self._write(lambda db: db.execute(sql, (term,)).close())

    async def leader(self) -> str:
        def read(db: sqlite3.Connection) -> str:
            return str(db.execute("SELECT owner FROM now").fetchone()[0] or "")

        return await self._run(read)

    async def wait_vacant(self) -> None:
        """At once: a new term deposes the one before."""

    async def newest(self) -> int:
        sql = "SELECT revision FROM now"
        return await self._run(lambda db: int(db.execute(sql).fetchone()[0]))

    async def get(self, key: str) -> Held | None:
        def read(db: sqlite3.Connection) -> Held | None:
            row = db.execute("SELECT value, revision FROM held WHERE key = ?", (key,)).fetchone()
            return Held(value=bytes(row[0]), revision=row[1]) if row else None

        return await self._run(read)

    async def list(self, prefix: str) -> dict[str, Held]:
        def read(db: sqlite3.Connection) -> dict[str, Held]:
            sql = "SELECT key, value, revision FROM held WHERE substr(key, 1, ?) = ? ORDER BY key"
            rows = db.execute(sql, (len(prefix), prefix))
            return {key: Held(value=bytes(value), revision=rev) for key, value, rev in rows}

        return await self._run(read)

    async def txn(
        self,
        *,
        holds: Mapping[str, int],
        puts: Mapping[str, bytes | None],
        term: int | None = None,
    ) -> Txn:
        def commit(db: sqlite3.Connection) -> Txn:
            if term is not None and not _is_current(db, term):
                return Txn(result=TxnResult.REFUSED)
            for key, wanted in holds.items():
                row = db.execute("SELECT revision FROM held WHERE key = ?", (key,)).fetchone()
                if (row[0] if row else 0) != wanted:
                    return Txn(result=TxnResult.REFUSED)
            return Txn(result=TxnResult.COMMITTED, revision=self._put(db, puts))

        done = await self._write(commit)
        if done.result is TxnResult.COMMITTED:
            for news in self._watchers:
                news.set()
        return done

    async def watch(self, prefix: str, after_revision: int) -> AsyncIterator[Changed | WatchLost]:
        """Changes of this program at once, those of others (a restored file) when polled."""
        news = asyncio.Event()
        self._watchers.add(news)
        try:
            while True:
                news.clear()
                found = await self._run(partial(_changes, prefix=prefix, after=after_revision))
                if found is None:
                    reason = f"changes after revision {after_revision} are forgotten"
                    yield WatchLost(reason=reason)
                    return
                after_revision, changes = found
                for change in changes:
                    yield change
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await news.wait()
        finally:
            self._watchers.discard(news)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()

    def _put(self, db: sqlite3.Connection, puts: Mapping[str, bytes | None]) -> int:
        revision = int(db.execute("SELECT revision + 1 FROM now").fetchone()[0])
        for key, value in puts.items():
            if value is None:
                db.execute("DELETE FROM held WHERE key = ?", (key,))
            else:
                db.execute("INSERT OR REPLACE INTO held VALUES (?, ?, ?)", (key, value, revision))
            db.execute("INSERT INTO changed VALUES (?, ?, ?)", (revision, key, value))
        compacted = max(0, revision - self._changes_kept)
        db.execute("DELETE FROM changed WHERE revision <= ?", (compacted,))
        db.execute("UPDATE now SET revision = ?, compacted = ?", (revision, compacted))
        return revision

    async def _write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        def within(db: sqlite3.Connection) -> Result:
            db.execute("BEGIN IMMEDIATE")
            try:
                done = work(db)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            return done

        return await self._run(within)

    async def _run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """In the store's thread. Raises StoreAway. Once begun it ends, even if nobody waits."""
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._thread, self._work, work))

    def _work(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        try:
            if self._db is None:
                self._db = self._connect()
            return work(self._db)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode not in STILL_SERVES:
                self._disconnect()
            raise StoreAway(f"the store {self._path} does not serve: {error}") from None
        except sqlite3.DatabaseError as error:
            self._disconnect()
            raise self._set_aside(str(error)) from None

    def _connect(self) -> sqlite3.Connection:
        """Raises StoreAway, StoreDamaged, sqlite3.Error."""
        note = self._note()
        if note.exists():
            raise StoreDamaged(note.read_text().strip())
        try:
            make_private_folder(self._path.parent)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StoreAway(f"the store {self._path} cannot be opened: {error.strerror}") from None
        db = sqlite3.connect(
            self._path, timeout=LOCK_WAIT_S, isolation_level=None, check_same_thread=False
        )
        try:
            found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)
            db.executescript(_OPEN)
        except BaseException:
            db.close()
            raise
        return db

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _note(self) -> Path:
        return self._path.with_name(f"{self._path.name}.damaged.txt")

    def _set_aside(self, reason: str) -> StoreAway:
        """The note first: while it is there, no new store is begun."""
        aside = self._path.with_name(f"{self._path.name}.damaged-{int(time.time())}")
        text = (
            f"the store was damaged ({reason}) and is now {aside}. Put a good copy at {self._path} "
            f"and delete {self._note()}, then stop the services, type `holdfast store restored`, "
            "and start them; or delete only the note, to begin anew: then every VM must be "
            "protected again."
        )
        try:
            self._note().write_text(text + "\n")
            self._note().chmod(0o600)
            for ending in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    self._path.with_name(self._path.name + ending).rename(f"{aside}{ending}")
        except OSError as error:
            return StoreAway(f"the store {self._path} is damaged ({reason}), and {error.strerror}")
        return StoreDamaged(text)


def _is_current(db: sqlite3.Connection, term: int) -> bool:
    sql = "SELECT 1 FROM now WHERE term = ? AND owner IS NOT NULL"
    return db.execute(sql, (term,)).fetchone() is not None


def _changes(db: sqlite3.Connection, prefix: str, after: int) -> tuple[int, list[Changed]] | None:
    """The newest revision, and what changed since; None when that is not known any more."""
    newest, compacted = db.execute("SELECT revision, compacted FROM now").fetchone()
    if after < compacted or after > newest:
        return None
    sql = (
        "SELECT revision, key, value FROM changed WHERE revision > ? AND substr(key, 1, ?) = ? "
        "ORDER BY revision, key"
    )
    rows = db.execute(sql, (after, len(prefix), prefix))
    return newest, [
        Changed(key=key, value=None if value is None else bytes(value), revision=revision)
        for revision, key, value in rows
    ]


PLUGIN = Sqlite
