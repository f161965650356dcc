"""The built-in VIM remembers over restarts, notifies before it writes, and forgets only the old."""

import asyncio
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import structs

from holdfast.adapters.vims.builtin import Builtin
from holdfast.facts.alarms import AlarmRecord, AlarmState
from holdfast.ports.vim import Ownership, Vim
from tests.adapters.contract_vim import VMS, VimContract, told


class TestBuiltin(VimContract):
    owns = Ownership(definitions=False, placement=False)

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make(self) -> Vim:
        return Builtin(
            self.folder / "alarms.db",
            inventory=lambda host: [vm for vm in VMS if vm.host == host],
        )


async def read_again(path: Path) -> list[AlarmRecord]:
    vim = Builtin(path)
    try:
        return await vim.alarms(include_cleared=True)
    finally:
        await vim.close()


def test_alarms_are_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "alarms.db"

    async def work() -> None:
        vim = Builtin(path)
        await vim.report(told(1))
        await vim.report(told(2))
        await vim.acknowledge(told(1).alarm.key, "anna")
        vim.note_answer(told(2).alarm.key, 17, 4.5)
        kept = await vim.alarms()
        await vim.close()
        again = {r.alarm.key: r for r in await read_again(path)}
        assert again == {r.alarm.key: r for r in kept}
        assert again[told(1).alarm.key].acknowledged_by == "anna"
        assert again[told(2).alarm.key].fault_to_answer_ms == 4.5

    asyncio.run(work())
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_was_answered_survives_kill_9(tmp_path: Path) -> None:
    program = """
import asyncio, os, signal, sys
from pathlib import Path
from holdfast.adapters.vims.builtin import Builtin
from tests.adapters.contract_vim import told
async def work():
    vim = Builtin(Path(sys.argv[1]))
    for number in range(50):
        await vim.report(told(number))
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(work())
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.db")],
        timeout=30,
        cwd=Path(__file__).parents[4],
    )
    assert done.returncode == -9
    assert len(asyncio.run(read_again(tmp_path / "a.db"))) == 50


def test_notifiers_hear_of_it_before_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "alarms.db"
    written: list[int] = []

    async def work() -> None:
        async def look() -> None:
            written.append(len(await read_again(path)))

        told_of: list[asyncio.Task[None]] = []
        vim = Builtin(path, tell=lambda _: told_of.append(asyncio.create_task(look())))
        await vim.report(told())
        await asyncio.gather(*told_of)
        assert len(await read_again(path)) == 1
        await vim.close()

    asyncio.run(work())
    assert written == [0], "whoever was told began before anything was on disk"


def test_an_old_cleared_alarm_makes_room_and_an_open_one_never_does(tmp_path: Path) -> None:
    async def work() -> None:
        vim = Builtin(tmp_path / "a.db", cleared_kept=3)
        for number in range(20):
            await vim.report(told(number))
            if number % 2:
                await vim.report(told(number, revision=2, state=AlarmState.CLEARED))
        assert len(await vim.alarms()) == 10
        await vim.close()
        again = await read_again(tmp_path / "a.db")
        cleared = [r.alarm.key for r in again if r.alarm.state is AlarmState.CLEARED]
        assert cleared == [told(number).alarm.key for number in (15, 17, 19)]
        assert len(again) == 13

    asyncio.run(work())


def test_who_acknowledged_outlives_what_another_controller_says_of_the_same_alarm(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        mine, other = Builtin(tmp_path / "a.db"), Builtin(tmp_path / "b.db")
        key = told().alarm.key
        await mine.report(told())
        await mine.acknowledge(key, "anna")
        for revision, state, by in (
            (1, AlarmState.RAISED, "anna"),
            (2, AlarmState.CHANGED, "anna"),
            (3, AlarmState.CLEARED, "anna"),
            (4, AlarmState.RAISED, ""),
        ):
            mine.absorb((await other.report(told(revision=revision, state=state))).record)
            [record] = await mine.alarms(include_cleared=True)
            assert (record.alarm.revision, record.acknowledged_by) == (revision, by)
        await mine.acknowledge(key, "anna")
        for revision, state in ((5, AlarmState.CLEARED), (6, AlarmState.RAISED)):
            await other.report(told(revision=revision, state=state))
        record = (await other.report(told(revision=7, state=AlarmState.CHANGED))).record
        mine.absorb(structs.replace(record, raised_utc_ms=record.raised_utc_ms + 5))
        assert [one.acknowledged_by for one in await mine.alarms()] == [""], "its end was missed"
        await mine.close()
        await other.close()

    asyncio.run(work())


def test_a_damaged_file_is_set_aside_counted_and_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"no database at all" * 400)

    async def work() -> None:
        vim = Builtin(path)
        assert vim.losses().count == 1
        assert "set aside" in vim.losses().reason
        await vim.report(told())
        await vim.close()

    asyncio.run(work())
    assert len(asyncio.run(read_again(path))) == 1
    assert [p for p in tmp_path.iterdir() if ".damaged-" in p.name]


def test_what_a_notifier_still_had_to_say_is_known_again(tmp_path: Path) -> None:
    async def work() -> None:
        first = Builtin(tmp_path / "one.db")
        record = (await first.report(told())).record
        await first.close()
        second = Builtin(tmp_path / "two.db")
        second.absorb(record)
        assert not (await second.report(told())).was_new
        await second.close()

    asyncio.run(work())
