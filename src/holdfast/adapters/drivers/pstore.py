"""What the kernel of an earlier boot wrote right before its end, where firmware kept it.

Source: /sys/fs/pstore (Documentation/admin-guide/pstore-blk.rst); systemd moves it away from there
at boot, into its own folder.
"""

from dataclasses import dataclass
from pathlib import Path

FOLDERS = (Path("/sys/fs/pstore"), Path("/var/lib/systemd/pstore"))
MOST_FILES = 4
FILE_BYTES = 8 << 10


@dataclass(frozen=True)
class CrashRecord:
    """`text` is its end."""

    name: str
    text: str
    written_utc_ms: int


def read_earlier(folders: tuple[Path, ...] = FOLDERS) -> dict[str, str]:
    """The newest records by name, each with its end. Blocks: call it in a thread."""
    return {record.name: record.text for record in read_records(folders)}


def read_records(folders: tuple[Path, ...] = FOLDERS) -> list[CrashRecord]:
    """The newest records, newest first. Blocks: call it in a thread."""
    found = []
    for folder in folders:
        try:
            files = [path for path in folder.rglob("*") if path.is_file()]
            found += [(path.stat().st_mtime, str(path.relative_to(folder)), path) for path in files]
        except OSError:
            continue
    newest = sorted(found, reverse=True)[:MOST_FILES]
    return [
        CrashRecord(name=name, text=text, written_utc_ms=round(written * 1_000))
        for written, name, path in newest
        if (text := _end_of(path))
    ]


def _end_of(path: Path) -> str:
    try:
        return path.read_bytes()[-FILE_BYTES:].decode(errors="replace")
    except OSError:
        return ""
