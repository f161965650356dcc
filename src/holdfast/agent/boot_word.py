"""Words that are made once and kept in a file: the host's id, and the name of its boot.

boot = the kernel's boot id + a random word in a directory that lives as long as the boot
(`boot_id` is the same in every namespace, so a lab's power cut would not change it). Agent and
pulse may both come first: the word of one of them stands. Standard library only.
"""

import contextlib
import os
import re
import secrets
from pathlib import Path

_WORD = re.compile(rb"[0-9a-f]{8}\s*")
_KERNEL_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def read_boot(run_dir: Path) -> str:
    """Raises OSError when the word is missing and cannot be written."""
    word, _ = keep_word(run_dir / "boot-word")
    return f"{_KERNEL_BOOT_ID.read_text().strip()[:8]}-{word}"


def read_word(path: Path) -> str:
    """The word in a file; empty where there is none, or something else. Raises OSError."""
    found = _read(path)
    return found.decode().strip() if found is not None and _WORD.fullmatch(found) else ""


def is_word(text: str) -> bool:
    return _WORD.fullmatch(text.encode()) is not None


def keep_word(path: Path, new: str = "") -> tuple[str, bool]:
    """The word in a file, and whether it had to be made (`new`, or at random). Raises OSError.

    Written whole or not at all, and never over somebody else's.
    """
    word = read_word(path)
    if word:
        return word, False
    if path.exists():  # Kept for whoever wants to know, and never believed.
        with contextlib.suppress(FileNotFoundError):
            path.replace(path.with_suffix(".damaged"))
    word = new or secrets.token_hex(4)
    beside = path.with_suffix(f".new-{os.getpid()}")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(word + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(beside, path)
    except FileExistsError:
        return keep_word(path, new)
    finally:
        beside.unlink()
    return word, True


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
