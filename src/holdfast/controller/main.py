"""`holdfast controller`: make sure to be the only one, and run until told to stop."""

import asyncio
import contextlib
import logging
import signal
from pathlib import Path

from holdfast.adapters.drivers.certificates import CertificateProblem
from holdfast.adapters.drivers.only_one import NotTheOnlyOne, only_one
from holdfast.adapters.drivers.site_watch import wait_site_changed
from holdfast.controller.assembly import Controller, Face, no_face
from holdfast.facts.settings import Settings
from holdfast.ports.log import write_log
from holdfast.ports.priority import come_first, open_many_files

log = logging.getLogger(__name__)

_KERNEL_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class CannotRun(Exception):
    """The controller cannot start; the text says why and what to do."""


def run(settings: Settings, face: Face = no_face) -> None:
    """Return after SIGTERM or SIGINT; `face` is open meanwhile. Raises CannotRun."""
    write_log("controller")
    logging.getLogger("websockets").setLevel(logging.WARNING)  # It tells of every connection.
    come_first()
    open_many_files()
    state, run_dir = Path(settings.state_dir), Path(settings.run_dir)
    try:
        with only_one("controller", state, run_dir):
            asyncio.run(_serve(settings, face))
    except OSError as error:
        raise CannotRun(f"the controller cannot use {error.filename}: {error.strerror}") from None
    except (NotTheOnlyOne, CertificateProblem) as error:
        raise CannotRun(str(error)) from None


async def _serve(settings: Settings, face: Face) -> None:
    boot = _KERNEL_BOOT_ID.read_text().strip()[:8]
    controller = Controller(settings, boot, face=face)
    work = asyncio.create_task(controller.run())
    watch = asyncio.create_task(wait_site_changed(settings))
    watch.add_done_callback(lambda _done: work.cancel())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work
    if watch.done() and not watch.cancelled():
        log.info("the site changed: ending, to be started again with what is new")
    watch.cancel()
