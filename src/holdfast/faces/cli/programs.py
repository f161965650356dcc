"""The two programs in the foreground, as `holdfast up` or a service manager starts them."""

import logging
import os
import sys

import click

from holdfast.faces.cli.config import outside_problems
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.facts.settings import Settings

config_option = click.option(
    "--config", "own_config", metavar="FILE", help="Settings (also: holdfast --config FILE ...)."
)


@click.command()
@config_option
@pass_site
def agent(site: Site, own_config: str | None) -> None:
    """Run this host's agent in the foreground: it watches and recovers VMs. Needs root."""
    settings = checked_settings(site, own_config)
    # Late: only this command is the agent.
    from holdfast.agent.main import CannotRun, run

    _be_quiet_of_links()
    try:
        run(settings)
    except CannotRun as reason:
        raise Failure(str(reason)) from None


@click.command()
@config_option
@pass_site
def controller(site: Site, own_config: str | None) -> None:
    """Run the controller in the foreground: it keeps promises and alarms. Needs root."""
    settings = checked_settings(site, own_config)
    # Late: only this command is the controller.
    from holdfast.controller.main import CannotRun, run
    from holdfast.faces.api.listening import serving  # Late: likewise.

    _be_quiet_of_links()
    try:
        run(settings, lambda controller: serving(controller, settings))
    except CannotRun as reason:
        raise Failure(str(reason)) from None


@click.command()
@config_option
@pass_site
def pulse(site: Site, own_config: str | None) -> None:
    """Run this host's pulse in the foreground: it says that the host lives. Needs root."""
    settings = checked_settings(site, own_config)
    # Its own small program takes our place: nothing of ours stays in its memory.
    module = ("-P", "-m", "holdfast.agent.pulse", settings.state_dir, settings.run_dir)
    os.execv(sys.executable, [sys.executable, *module])


def _be_quiet_of_links() -> None:
    """Each question opens and closes one: what the library says of that is no news."""
    logging.getLogger("websockets").setLevel(logging.WARNING)


def checked_settings(site: Site, own_config: str | None) -> Settings:
    site.config = own_config or site.config
    settings = site.settings
    problems = list(outside_problems(settings))
    if problems:
        raise Failure("the settings do not fit this machine", "\n".join(problems), Exit.USAGE)
    return settings
