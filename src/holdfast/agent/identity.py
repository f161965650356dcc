"""Who this agent is: host id, boot, and whether its memory is the one that the store knows."""

import socket
from pathlib import Path

from msgspec import Struct

from holdfast.adapters.drivers.private_folder import make_private_folder
from holdfast.agent.boot_word import keep_word, read_boot


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
        make_private_folder(folder)
    state_id, is_new = keep_word(state_dir / "state-id")
    host, _ = keep_word(state_dir / "host-id")
    return Identity(
        host=host,
        host_name=host_name or socket.gethostname(),
        boot=read_boot(run_dir),
        state_id=state_id,
        is_new_state=is_new,
    )
