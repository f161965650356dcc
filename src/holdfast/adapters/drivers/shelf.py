"""Keyed values of one program in an SQLite file, written by a thread beside what is urgent.

What `kept()` has returned for survives kill -9; a power cut may take the newest second. It is for
what can be told anew (alarms, incidents, counts), never for the truth about VMs (ports/store.py).
"""

import asyncio
import contextlib
import logging
import os
import sqlite3
import threading
import time
from pathlib import Path

from holdfast.adapters.drivers.private_folder import make_private_folder
from holdfast.ports.journal import Losses

log = logging.getLogger(__name__)

RETRY_S = 1.0
SYNC_S = 1.0
CLOSE_LIMIT_S = 5.0
ROOM_BYTES = 64 << 10  # With less, SQLite cannot make its shared memory: it names no cause.
_OPEN = """
PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0;
CREATE TABLE IF NOT EXISTS kept (
  shelf TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (shelf, key)
) WITHOUT ROWID;
"""

Name = tuple[str, str]


class Shelf:
    """`put` returns at once and never raises. A damaged file is set aside, counted and begun anew.

    While the disk is full the newest value of each key waits in memory; `losses` says so.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lost = Losses()
        self._waiting: dict[Name, bytes | None] = {}
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._is_closing = False
        self._values = self._load()
        self._thread = threading.Thread(target=self._write_all, name=f"shelf {path}", daemon=True)
        self._thread.start()

    def all(self, shelf: str) -> dict[str, bytes]:
        """What was on it when the file was opened."""
        return {key: value for (of, key), value in self._values.items() if of == shelf}

    def put(self, shelf: str, key: str, value: bytes | None) -> None:
        """Keep a value; None removes it."""
        with self._lock:
            self._waiting[shelf, key] = value
        self._changed.set()

    async def kept(self) -> None:
        """Return when all that was put so far was written, or an attempt has failed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            self._waiters.append((loop, future))
        self._changed.set()
        await future

    def losses(self) -> Losses:
        return self._lost

    def close(self) -> None:
        self._is_closing = True
        self._changed.set()
        self._thread.join(CLOSE_LIMIT_S)

    def _load(self) -> dict[Name, bytes]:
        try:
            return self._read()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # Full, away, not permitted.
                self._count(1, self._words(error))
                return {}
            aside = self._path.with_name(f"{self._path.name}.damaged-{int(time.time())}")
            self._count(1, f"{self._path} was damaged and is set aside as {aside.name}")
            for ending in ("", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    self._path.with_name(self._path.name + ending).rename(f"{aside}{ending}")
            return {}

    def _read(self) -> dict[Name, bytes]:
        with contextlib.closing(self._connect()) as db:
            rows = db.execute("SELECT shelf, key, value FROM kept")
            return {(shelf, key): bytes(value) for shelf, key, value in rows}

    def _connect(self) -> sqlite3.Connection:
        """Raises sqlite3.Error."""
        try:
            make_private_folder(self._path.parent)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise sqlite3.OperationalError(error.strerror) from None
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=1.0)
        try:
            db.executescript(_OPEN)
        except BaseException:
            db.close()
            raise
        return db

    def _write_all(self) -> None:
        db: sqlite3.Connection | None = None
        sync_at = time.monotonic() + SYNC_S
        is_dirty = False
        while True:
            self._changed.wait(SYNC_S)
            self._changed.clear()
            is_last = self._is_closing
            with self._lock:
                batch, self._waiting = self._waiting, {}
                waiters, self._waiters = self._waiters, []
            failed = ""
            try:
                if batch:
                    db = db or self._connect()
                    _write(db, batch)
                    is_dirty = True
                if db and is_dirty and (is_last or time.monotonic() >= sync_at):
                    db.execute("PRAGMA synchronous=NORMAL")
                    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                    db.execute("PRAGMA synchronous=OFF")
                    sync_at, is_dirty = time.monotonic() + SYNC_S, False
            except sqlite3.Error as error:
                failed = self._words(error)
                if db is not None:
                    db.close()
                    db = None
                self._put_back(batch, failed)
            _release(waiters)
            if is_last:
                break
            if failed:
                time.sleep(RETRY_S)
                self._changed.set()
        if db is not None:
            db.close()

    def _put_back(self, batch: dict[Name, bytes | None], reason: str) -> None:
        """Newer values of the same keys stand."""
        with self._lock:
            self._waiting = {**batch, **self._waiting}
        self._count(1, reason)

    def _words(self, error: sqlite3.Error) -> str:
        """SQLite calls most of what a full disk refuses an I/O error."""
        said = f"{self._path}: {error}"
        with contextlib.suppress(OSError):
            disk = os.statvfs(self._path.parent)
            if disk.f_bavail * disk.f_frsize < ROOM_BYTES:
                return f"{said}: the disk is full"
        return said

    def _count(self, lost: int, reason: str) -> None:
        if reason != self._lost.reason:
            log.error("records are lost, or wait: %s", reason)
        self._lost = Losses(count=self._lost.count + lost, reason=reason)


def _write(db: sqlite3.Connection, batch: dict[Name, bytes | None]) -> None:
    gone = [name for name, value in batch.items() if value is None]
    there = [(*name, value) for name, value in batch.items() if value is not None]
    db.execute("BEGIN IMMEDIATE")
    try:
        db.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", there)
        db.executemany("DELETE FROM kept WHERE shelf = ? AND key = ?", gone)
        db.execute("COMMIT")
    except sqlite3.Error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _release(waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]]) -> None:
    for loop, future in waiters:
        # The loop has ended when the program does: then nobody waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_finish, future)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
