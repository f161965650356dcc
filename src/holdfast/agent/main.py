"""`holdfast agent`: make sure to be the only one, remember, and run until told to stop."""

import asyncio
import contextlib
import logging
import signal
from pathlib import Path

from holdfast.adapters.drivers.certificates import CertificateProblem
from holdfast.adapters.drivers.only_one import NotTheOnlyOne, only_one
from holdfast.adapters.drivers.site_watch import wait_site_changed
from holdfast.adapters.journals.segments import JournalTaken
from holdfast.agent.assembly import Agent
from holdfast.agent.identity import identify
from holdfast.agent.memory import recall
from holdfast.facts.settings import Settings
from holdfast.ports.log import write_log
from holdfast.ports.priority import come_first

log = logging.getLogger(__name__)


class CannotRun(Exception):
    """The agent cannot start; the text says why and what to do."""


def run(settings: Settings) -> None:
    """Return after SIGTERM or SIGINT. Raises CannotRun."""
    write_log("agent")
    logging.getLogger("websockets").setLevel(logging.WARNING)  # It says every connection.
    come_first()
    state, run_dir = Path(settings.state_dir), Path(settings.run_dir)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(only_one("agent", state, run_dir))
            me = identify(state, run_dir, settings.host_name, Path(settings.tls_dir))
            remembered = recall(state / "journal", me)
        except OSError as error:
            raise CannotRun(f"the agent cannot use {error.filename}: {error.strerror}") from None
        except (NotTheOnlyOne, CertificateProblem) as error:
            raise CannotRun(str(error)) from None
        try:
            asyncio.run(_serve(settings, Agent, me, remembered))
        except (JournalTaken, CertificateProblem) as error:
            raise CannotRun(str(error)) from None


async def _serve(settings: Settings, make: type[Agent], *known: object) -> None:
    agent = make(settings, *known)  # type: ignore[arg-type]
    stopped = asyncio.Event()
    running = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, stopped.set)
    work = asyncio.create_task(agent.run())
    waiter = asyncio.create_task(stopped.wait())
    changed = asyncio.create_task(wait_site_changed(settings))
    await asyncio.wait({work, waiter, changed}, return_when=asyncio.FIRST_COMPLETED)
    if changed.done():
        log.info("the site changed: ending, to be started again with what is new")
    for task in (work, waiter, changed):
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work
