"""`holdfast controller`: make sure to be the only one, and run until told to stop."""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from holdfast.controller.assembly import Controller
from holdfast.facts.settings import Settings
from holdfast.ports.keeper import come_first

_KERNEL_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class CannotRun(Exception):
    """The controller cannot start; the text says why and what to do."""


def run(settings: Settings) -> None:
    """Return after SIGTERM or SIGINT. Raises CannotRun."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="controller: %(levelname)s %(message)s"
    )
    logging.getLogger("websockets").setLevel(logging.WARNING)  # It tells of every connection.
    come_first()
    try:
        with _only_one(Path(settings.state_dir)):
            asyncio.run(_serve(settings))
    except OSError as error:
        raise CannotRun(f"the controller cannot use {error.filename}: {error.strerror}") from None


@contextlib.contextmanager
def _only_one(state: Path) -> Iterator[None]:
    """Raises CannotRun while another controller uses the same state directory."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(state / "controller.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise CannotRun(
            f"another controller runs with the state directory {state}; "
            "end it first, or give this one its own state_dir in the settings"
        ) from None
    try:
        yield
    finally:
        os.close(fd)


async def _serve(settings: Settings) -> None:
    boot = _KERNEL_BOOT_ID.read_text().strip()[:8]
    controller = Controller(settings, boot)
    work = asyncio.create_task(controller.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work
