"""Who this agent is: host id, boot, and whether its memory is the one that the store knows.

boot = the kernel's boot id + a random word in a directory that lives as long as the boot
(`boot_id` is the same in every namespace, so a lab's power cut would not change it).
"""

import os
import re
import secrets
import socket
from pathlib import Path

from msgspec import Struct

_WORD = re.compile(rb"[0-9a-f]{8}\s*")
_KERNEL_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Identity(Struct, frozen=True, kw_only=True):
    """`is_new_state` says that the state directory was empty: nothing is remembered."""

    host: str
    host_name: str
    boot: str
    state_id: str
    is_new_state: bool


def identify(state_dir: Path, run_dir: Path, host_name: str) -> Identity:
    """Read who we are, and write what is missing. Raises OSError when that cannot be written."""
    for folder in (state_dir, run_dir):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state_id, is_new = _word(state_dir / "state-id")
    host, _ = _word(state_dir / "host-id")
    boot_word, _ = _word(run_dir / "boot-word")
    kernel = _KERNEL_BOOT_ID.read_text().strip()[:8]
    return Identity(
        host=host,
        host_name=host_name or socket.gethostname(),
        boot=f"{kernel}-{boot_word}",
        state_id=state_id,
        is_new_state=is_new,
    )


def _word(path: Path) -> tuple[str, bool]:
    """The word in a file, and whether it had to be made. Written whole or not at all."""
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        found = b""
    if _WORD.fullmatch(found):
        return found.decode().strip(), False
    if found:  # Not what we wrote: kept for whoever wants to know, and never believed.
        path.replace(path.with_suffix(".damaged"))
    word = secrets.token_hex(4)
    beside = path.with_suffix(".new")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(word + "\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    return word, True
