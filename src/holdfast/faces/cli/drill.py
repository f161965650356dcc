"""Drills break one thing for real, and measure how fast it was told and mended."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import click

from holdfast.faces.cli.exits import Exit, Failure, near
from holdfast.faces.cli.showing import json_option, note, show, show_json
from holdfast.lab.commands import LabError
from holdfast.lab.drills.director import DRILLS, AnyDrill, Place, run_drill
from holdfast.lab.drills.scene import Choices

LISTED = "list"


def read_mib(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    """MiB of a size like 12G or 512M."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)([MG])", text)
    if not found or int(found[1]) == 0:
        raise click.BadParameter(f"{text!r} is no size; write it like 12G or 512M")
    return int(found[1]) * (1024 if found[2] == "G" else 1)


def complete_drill(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in [LISTED, *DRILLS] if name.startswith(incomplete)]


@click.command()
@click.argument("name", shell_complete=complete_drill)
@click.option("--runs", type=click.IntRange(1, 10_000), help="By default the drill's own number.")
@click.option("--memory", metavar="SIZE", callback=read_mib, help="Of the VM, like 12G.")
@click.option("--vms", type=click.IntRange(1, 1_000), help="How many, where there are several.")
@click.option("--busy", is_flag=True, help="With every core busy.")
@click.option("--lab", "lab", metavar="NAME", help="On this lab; by default the one that is up.")
@click.option("--on", "host", metavar="HOST", help="h1, h2 ... of a lab, or this machine's name.")
@click.option("--yes", is_flag=True, help="Yes, on this machine itself, which is no lab host.")
@json_option
def drill(
    name: str,
    runs: int | None,
    memory: int | None,
    vms: int | None,
    busy: bool,
    lab: str | None,
    host: str | None,
    yes: bool,
    as_json: bool,
) -> int:
    """Break one thing for real on a lab host, and measure. `drill list` names them.

    It takes the lab that is up, or makes one and takes it away again; a drill on a whole site
    always makes one, of five hosts with three controllers. This machine itself is
    drilled only with --on ITS-NAME --yes, and even then only a VM made for it is broken. Exit
    code 1 says that an alarm was lost, a false one came, or a wait reached its limit.
    """
    if name == LISTED:
        _list(as_json)
        return Exit.FINE
    choices = Choices(runs=runs, memory_mib=memory, is_busy=busy, vms=vms)
    with _drill_errors():
        result = run_drill(_find(name), choices, Place(lab=lab, host=host, is_sure=yes), note)
    if as_json:
        show_json(result.as_dict())
    else:
        # Late: JSON needs no page.
        from holdfast.faces.pages.drills import drill_page

        show(drill_page(result))
    return Exit.FINE if result.is_passed else Exit.BAD_NEWS


@contextmanager
def _drill_errors() -> Iterator[None]:
    try:
        yield
    except LabError as error:
        raise Failure(str(error)) from None
    except PermissionError:
        raise Failure("drills need root: they make hosts", "run it with sudo") from None


def _find(name: str) -> AnyDrill:
    if name in DRILLS:
        return DRILLS[name]
    found = near(name, DRILLS)
    hint = f"did you mean {' or '.join(found)}?" if found else "holdfast drill list"
    raise Failure(f"there is no drill {name!r}", hint, Exit.USAGE)


def _list(as_json: bool) -> None:
    rows = [{"name": one.name, "about": one.about, "runs": one.runs} for one in DRILLS.values()]
    if as_json:
        return show_json({"drills": rows})
    # Late: JSON needs no tables.
    from holdfast.faces.pages.tables import table

    return show(
        [
            table(
                ("DRILL", "RUNS", "WHAT IT BREAKS"),
                [[str(row["name"]), str(row["runs"]), str(row["about"])] for row in rows],
            )
        ]
    )
