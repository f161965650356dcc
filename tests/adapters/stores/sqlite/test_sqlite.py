"""The SQLite store keeps the contract over restarts, and is loud when its file is not well."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.adapters.stores.sqlite import Sqlite, StoreDamaged
from holdfast.ports.store import StoreAway, WatchLost
from tests.adapters.contract_store import LEASE_MS, StoreContract
from tests.adapters.small_disk import needs_small_disk, run_on_small_disk


class TestSqlite(StoreContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make(self) -> Sqlite:
        return Sqlite(self.folder / "store.db", poll_s=0.02)


def test_everything_is_there_after_a_restart_and_the_term_rises(tmp_path: Path) -> None:
    async def work() -> None:
        terms = []
        for number in range(3):
            store = Sqlite(tmp_path / "store.db")
            terms.append(await store.begin_term("me", LEASE_MS))
            assert len(await store.list("")) == number
            await store.txn(holds={f"k{number}": 0}, puts={f"k{number}": b"v"}, term=terms[-1])
            await store.close()
        assert terms == [1, 2, 3]

    asyncio.run(work())
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_what_was_committed_survives_kill_9(tmp_path: Path) -> None:
    program = """
import asyncio, os, signal, sys
from pathlib import Path
from holdfast.adapters.stores.sqlite import Sqlite
async def work():
    store = Sqlite(Path(sys.argv[1]))
    await store.txn(holds={}, puts={"vm": b"held"})
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(work())
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "s.db")], timeout=30)
    assert done.returncode == -9

    async def read() -> None:
        store = Sqlite(tmp_path / "s.db")
        held = await store.get("vm")
        assert held is not None
        assert held.value == b"held"
        await store.close()

    asyncio.run(read())


def test_changes_of_another_process_are_seen(tmp_path: Path) -> None:
    async def work() -> None:
        one = Sqlite(tmp_path / "s.db", poll_s=0.02)
        other = Sqlite(tmp_path / "s.db")
        await one.txn(holds={}, puts={"a": b"1"})
        watch = one.watch("", 1)
        coming = asyncio.ensure_future(anext(watch))
        await other.txn(holds={}, puts={"b": b"2"})
        seen = await asyncio.wait_for(coming, 10)
        assert not isinstance(seen, WatchLost)
        assert seen.key == "b"
        await one.close()
        await other.close()

    asyncio.run(work())


def test_forgotten_changes_are_lost_to_a_watch(tmp_path: Path) -> None:
    async def work() -> None:
        store = Sqlite(tmp_path / "s.db", changes_kept=3)
        for number in range(10):
            await store.txn(holds={}, puts={"a": b"%d" % number})
        assert isinstance(await anext(store.watch("", 2)), WatchLost)
        await store.close()

    asyncio.run(work())


@pytest.mark.slow
def test_a_lock_that_another_holds_is_an_absence(tmp_path: Path) -> None:
    async def work() -> None:
        store = Sqlite(tmp_path / "s.db")
        await store.get("a")
        holder = sqlite3.connect(tmp_path / "s.db")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreAway, match="locked"):
            await store.txn(holds={}, puts={"a": b"1"})
        holder.rollback()
        holder.close()
        assert (await store.txn(holds={}, puts={"a": b"1"})).result == "committed"
        await store.close()

    asyncio.run(work())


@pytest.mark.parametrize("when", ["at rest", "in use"])
def test_a_damaged_file_is_set_aside_and_never_begun_anew(tmp_path: Path, when: str) -> None:
    path = tmp_path / "store.db"

    async def work() -> None:
        store = Sqlite(path)
        for number in range(200):
            await store.txn(holds={}, puts={f"vm/{number}": os.urandom(400)})
        await store.close()
        damaged = bytearray(path.read_bytes())
        damaged[0 if when == "at rest" else 5_000 : 60_000] = b"\xff" * 55_000
        path.write_bytes(damaged)
        for _ in range(2):
            again = Sqlite(path)
            with pytest.raises(StoreDamaged, match="was damaged"):
                await again.list("")
            await again.close()
            assert not path.exists()
        aside = [p for p in tmp_path.glob("store.db.damaged-*") if not p.name.endswith("-wal")]
        assert len(aside) == 1
        (tmp_path / "store.db.damaged.txt").unlink()
        anew = Sqlite(path)
        assert await anew.list("") == {}
        await anew.close()

    asyncio.run(work())


@needs_small_disk
def test_a_full_disk_is_an_absence_and_loses_nothing(tmp_path: Path) -> None:
    program = """
import asyncio, os, sys
from pathlib import Path
from holdfast.adapters.stores.sqlite import Sqlite
from holdfast.ports.store import StoreAway
async def work():
    folder = Path(sys.argv[1])
    store = Sqlite(folder / "s.db")
    await store.txn(holds={}, puts={"vm": b"held"})
    ballast = open(folder / "ballast", "wb", buffering=0)
    try:
        while True:
            ballast.write(bytes(4096))
    except OSError:
        pass
    try:
        for number in range(200):
            await store.txn(holds={}, puts={f"k{number}": bytes(8000)})
        print("never full")
    except StoreAway as away:
        print("full" in str(away))
    held = await store.get("vm")
    print(held.value)
    ballast.close()
    (folder / "ballast").unlink()
    print((await store.txn(holds={}, puts={"k": b"1"})).result)
asyncio.run(work())
"""
    assert run_on_small_disk(program, tmp_path) == "True\nb'held'\ncommitted"
