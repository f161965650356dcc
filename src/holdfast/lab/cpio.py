"""An initramfs is a cpio archive in the `newc` format, which is simple enough to write here."""

import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath


@dataclass
class CpioArchive:
    """Collects folders, files and links for an initramfs; parents are added by themselves."""

    _body: bytearray = field(default_factory=bytearray)
    _seen: set[str] = field(default_factory=set)

    def has(self, path: str) -> bool:
        """Tell whether `path` (absolute) is already in the archive."""
        return path in self._seen

    def add_folder(self, path: str) -> None:
        """Add an empty folder."""
        self._add(path, stat.S_IFDIR | 0o755, b"")

    def add_file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Add a regular file with this content."""
        self._add(path, stat.S_IFREG | mode, content)

    def add_link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def write(self, path: Path) -> None:
        """Write the archive with its end mark."""
        trailer = self._record("TRAILER!!!", 0, b"")
        path.write_bytes(bytes(self._body) + trailer)

    def _add(self, path: str, mode: int, content: bytes) -> None:
        if path in self._seen:
            return
        parent = str(PurePosixPath(path).parent)
        if parent != "/":
            self.add_folder(parent)
        self._seen.add(path)
        self._body += self._record(path.lstrip("/"), mode, content)

    def _record(self, name: str, mode: int, content: bytes) -> bytes:
        raw_name = name.encode() + b"\0"
        # Fields: inode, mode, uid, gid, links, mtime, size, device and rdevice (major, minor),
        # name size, check. Inode numbers only matter to hard links, which we do not make.
        numbers = (len(self._seen), mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(raw_name), 0)
        header = b"070701" + b"".join(b"%08X" % number for number in numbers)
        return _padded(header + raw_name) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
