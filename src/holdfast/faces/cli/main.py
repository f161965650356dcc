"""The `holdfast` command: a table of commands, of which only the one that is typed is imported."""

import importlib
import os
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import click

from holdfast import __version__
from holdfast.faces.cli.exits import Exit, Failure, near
from holdfast.faces.cli.settings import Site

CRASH_PREFIX = "holdfast-crash-"
CRASHES_KEPT = 10


class Place(NamedTuple):
    """Where a command is: MODULE in this folder, and its name there."""

    section: str
    module: str
    name: str
    about: str


LOOK, ACT, SITE, RUN, TRY = "Look", "Act", "Site", "Run", "Try out"

COMMANDS: dict[str, Place] = {
    "status": Place(LOOK, "status", "status", "Is everything well, and what to do if not"),
    "host": Place(LOOK, "host", "host", "List and show hosts; say what is done when one dies"),
    "vm": Place(LOOK, "vm", "vm", "List, show, protect, unprotect and recover VMs"),
    "group": Place(LOOK, "group", "group", "List, show, set and forget groups of VMs"),
    "guarantee": Place(LOOK, "guarantee", "guarantee", "Which VMs the loss of a host would cost"),
    "alarms": Place(LOOK, "alarms", "alarms", "List, follow and acknowledge alarms"),
    "events": Place(LOOK, "events", "events", "Tell what happened, event by event"),
    "incidents": Place(LOOK, "incidents", "incidents", "List what went wrong, the newest last"),
    "explain": Place(LOOK, "explain", "explain", "Tell the story of an incident"),
    "last-words": Place(LOOK, "explain", "last_words", "Show what a VM left at its death"),
    "audit": Place(LOOK, "events", "audit", "Tell who changed what"),
    "disarm": Place(ACT, "arming", "disarm", "Switch automatic recovery off for a while"),
    "arm": Place(ACT, "arming", "arm", "Switch automatic recovery on again"),
    "fence": Place(ACT, "fence", "fence", "Say how hosts can be switched off, and try it"),
    "settle": Place(ACT, "incidents", "settle", "Close an incident that a person dealt with"),
    "init": Place(SITE, "site_commands", "init", "Make a site, with this host as controller"),
    "join": Place(SITE, "site_commands", "join", "Let this host belong to a site"),
    "leave": Place(SITE, "site_commands", "leave", "Undo init or join on this host"),
    "ca": Place(SITE, "ca", "ca", "The site's certificates, and tokens for hosts that join"),
    "store": Place(SITE, "store", "store", "Put a backup of the store into service"),
    "token": Place(ACT, "token", "token", "Make, list and revoke tokens of the API"),
    "up": Place(RUN, "up", "up", "Start controller and agent here, and show what they see"),
    "agent": Place(RUN, "programs", "agent", "Run this host's agent in the foreground"),
    "pulse": Place(RUN, "programs", "pulse", "Run this host's pulse in the foreground"),
    "controller": Place(RUN, "programs", "controller", "Run the controller in the foreground"),
    "supervise": Place(RUN, "supervise", "supervise", "Run all of them, without systemd"),
    "config": Place(RUN, "config", "config", "Check the settings file"),
    "clean": Place(RUN, "clean", "clean", "Remove the sample VM and all that Holdfast wrote"),
    "completion": Place(RUN, "completion", "completion", "Print what a shell needs to complete"),
    "lab": Place(TRY, "lab", "lab", "Make hosts on this machine, to break them"),
    "drill": Place(TRY, "drill", "drill", "Break one thing for real, and measure"),
    "replay": Place(TRY, "replay", "replay", "Run a journal, or an incident, through policy again"),
}


class Commands(click.Group):
    """Finds commands in the table; --help imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module = importlib.import_module(f"holdfast.faces.cli.{place.module}")
        command: click.Command = getattr(module, place.name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not ctx.resilient_parsing and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise unknown_command(args[0], COMMANDS, "holdfast")
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        for section in (LOOK, ACT, SITE, RUN, TRY):
            with formatter.section(section):
                formatter.write_dl(
                    [(name, p.about) for name, p in COMMANDS.items() if p.section == section]
                )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        # Late: only a shell that completes needs it.
        from click.shell_completion import CompletionItem

        items = [
            CompletionItem(name, help=place.about)
            for name, place in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]


def unknown_command(name: str, known: Any, program: str) -> Failure:
    found = near(name, known)
    hint = f"did you mean {' or '.join(found)}?" if found else f"{program} --help lists them"
    return Failure(f"there is no command {name!r}", hint, Exit.USAGE)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 fine, 1 something needs a person, 2 wrong usage or settings, 3 not"
    " running, 4 refused, 5 Holdfast failed. Details: docs/cli.md",
)
@click.version_option(__version__, prog_name="holdfast", message="%(prog)s %(version)s")
@click.option(
    "--config",
    metavar="FILE",
    envvar="HOLDFAST_CONFIG",
    help="Settings; by default /etc/holdfast/holdfast.toml, if it is there.",
)
@click.option(
    "--controller",
    metavar="URL",
    envvar="HOLDFAST_API",
    default="",
    help="Ask this controller's API, e.g. https://h1:7310, instead of the one on this host.",
)
@click.option(
    "--token-file",
    metavar="FILE",
    default="",
    help="Holds the token for it; or the token itself is in HOLDFAST_TOKEN.",
)
@click.option(
    "--ca", metavar="FILE", envvar="HOLDFAST_CA", default="", help="The certificate of its site."
)
@click.pass_context
def cli(ctx: click.Context, config: str | None, controller: str, token_file: str, ca: str) -> None:
    """Keeps virtual machines in service on hosts that fail.

    Begin with `sudo holdfast up`; then `holdfast status`.
    """
    ctx.obj = Site(config, controller, token_file, ca)


def main(args: list[str] | None = None) -> None:
    """Run one command and exit with its code; a crash is kept in a file, not shown."""
    sys.exit(run(args))


def run(args: list[str] | None = None) -> int:
    try:
        code = cli.main(args=args, prog_name="holdfast", standalone_mode=False)
        return code if isinstance(code, int) else Exit.FINE
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.UsageError as error:
        return _show_usage(error)
    except Failure as failure:
        failure.show()
        return failure.code
    except (click.Abort, KeyboardInterrupt):
        click.echo("", err=True)
        return Exit.INTERRUPTED
    except SystemExit:
        return Exit.FINE  # So click says that whoever read our output has enough of it.
    except Exception:  # noqa: BLE001  The last place where an error can be told to a person.
        return _show_crash()


def _show_usage(error: click.UsageError) -> int:
    path = error.ctx.command_path if error.ctx else "holdfast"
    sentence = error.format_message()
    Failure(sentence[:1].lower() + sentence[1:].rstrip("."), f"{path} --help").show()
    return Exit.USAGE


def _show_crash() -> int:
    _forget_old_crashes()
    fd, path = tempfile.mkstemp(prefix=CRASH_PREFIX, suffix=".txt")
    with os.fdopen(fd, "w") as file:
        file.write(f"holdfast {__version__}: {' '.join(sys.argv)}\n\n{traceback.format_exc()}")
    reason = traceback.format_exception_only(*sys.exc_info()[:2])[-1].strip()
    sentence = f"this is a fault of Holdfast itself: {reason}"
    Failure(sentence, f"please report it with {path}").show()
    return Exit.BROKEN


def _forget_old_crashes() -> None:
    """A program that is begun again and again must not fill the disk with its crashes."""
    found = []
    for path in Path(tempfile.gettempdir()).glob(f"{CRASH_PREFIX}*.txt"):
        with suppress(OSError):
            stat = path.lstat()
            if stat.st_uid == os.geteuid():
                found.append((stat.st_mtime_ns, path))
    for _, path in sorted(found)[: -(CRASHES_KEPT - 1)]:
        with suppress(OSError):
            path.unlink()


if __name__ == "__main__":
    main()
