"""What the kernel of an earlier boot wrote right before its end, where firmware kept it.

Source: /sys/fs/pstore (Documentation/admin-guide/pstore-blk.rst); systemd moves it away from there
at boot, into its own folder.
"""

from pathlib import Path

FOLDERS = (Path("/sys/fs/pstore"), Path("/var/lib/systemd/pstore"))
MOST_FILES = 4
FILE_BYTES = 8 << 10


def read_earlier(folders: tuple[Path, ...] = FOLDERS) -> dict[str, str]:
    """The newest records by name, each with its end. Blocks: call it in a thread."""
    found = []
    for folder in folders:
        try:
            files = [path for path in folder.rglob("*") if path.is_file()]
            found += [(path.stat().st_mtime, str(path.relative_to(folder)), path) for path in files]
        except OSError:
            continue
    newest = sorted(found, reverse=True)[:MOST_FILES]
    return {name: text for _, name, path in newest if (text := _end_of(path))}


def _end_of(path: Path) -> str:
    try:
        return path.read_bytes()[-FILE_BYTES:].decode(errors="replace")
    except OSError:
        return ""
