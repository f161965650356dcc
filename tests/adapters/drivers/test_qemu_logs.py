"""QEMU's log is read for one life: not for the one before, and not for the one after."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

from holdfast.adapters.drivers.qemu_logs import QemuLogs
from holdfast.facts.subjects import Incarnation

TICKS = os.sysconf("SC_CLK_TCK")


def life(began_s_ago: float) -> Incarnation:
    ticks = int((time.clock_gettime(time.CLOCK_BOOTTIME) - began_s_ago) * TICKS)
    return Incarnation(vm="vm-1", boot="boot", pid=4711, started_ticks=ticks)


def begin(s_ago: float) -> str:
    stamp = datetime.fromtimestamp(time.time() - s_ago, tz=UTC)
    return f"{stamp:%Y-%m-%d %H:%M:%S}.000+0000: starting up libvirt version: 9.0.0\n"


def end(reason: str) -> str:
    return f"2026-11-24 18:00:00.000+0000: shutting down, reason={reason}\n"


TERM = "2026-11-24T18:00:00.1Z qemu-system-x86_64: terminating on signal 15 from pid 77 (bash)\n"


def test_a_life_that_we_saw_begin_has_the_lines_since_then(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_text(begin(9) + end("destroyed") + begin(1))
    logs, it = QemuLogs(tmp_path), life(1)
    start = log.stat().st_size
    assert logs.read(it, "web", start) is None
    log.write_text(log.read_text() + TERM + end("shutdown") + begin(0) + end("crashed"))
    read = logs.read(it, "web", start)
    assert read is not None
    assert (read.reason, read.incarnation) == ("shutdown", it)
    assert read.last_line == "qemu-system-x86_64: terminating on signal 15 from pid 77 (bash)"


def test_a_life_that_was_found_is_told_by_its_begin(tmp_path: Path) -> None:
    text = begin(900) + end("saved") + begin(600) + end("crashed") + begin(300) + end("failed")
    (tmp_path / "web.log").write_text(text)
    logs = QemuLogs(tmp_path)
    reasons = [logs.read(life(ago), "web") for ago in (899.9, 599.9, 299.9)]
    assert [r.reason if r else "" for r in reasons] == ["saved", "crashed", "failed"]


def test_a_log_that_was_rotated_is_read_from_its_begin(tmp_path: Path) -> None:
    (tmp_path / "web.log").write_text(end("crashed"))
    read = QemuLogs(tmp_path).read(life(1), "web", start=10_000)
    assert read is not None
    assert read.reason == "crashed"


def test_libvirts_own_lines_are_not_qemus_last(tmp_path: Path) -> None:
    text = "qemu: a last cry\n" + "x: Domain id=1 is tainted: custom\n" + end("from snapshot")
    (tmp_path / "web.log").write_text(text)
    read = QemuLogs(tmp_path).read(life(1), "web", start=0)
    assert read is not None
    assert (read.reason, read.last_line) == ("from snapshot", "qemu: a last cry")


def test_no_log_says_nothing(tmp_path: Path) -> None:
    assert QemuLogs(tmp_path).read(life(1), "web") is None
