"""Names that people type: of commands, VMs, groups, incidents; the near ones when they slip."""

import contextlib
from collections.abc import Iterable
from typing import Any

import click

from holdfast.faces.cli.exits import Exit, Failure, near, unknown
from holdfast.facts.wire import VmSummary


class Choices(click.Group):
    """A command of commands that names the near ones."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not ctx.resilient_parsing and name not in self.commands and not name.startswith("-"):
            found = near(name, self.commands)
            listed = f"{ctx.command_path} --help lists them"
            hint = f"did you mean {' or '.join(found)}?" if found else listed
            raise Failure(f"there is no command {ctx.info_name} {name}", hint, Exit.USAGE)
        return super().resolve_command(ctx, args)


def find_vm(name: str, vms: Iterable[VmSummary]) -> VmSummary:
    """By name or uuid. Raises Failure."""
    listed = list(vms)
    found = {vm.vm: vm for vm in listed if name in (vm.name, vm.vm)}
    if not found:
        raise unknown("VM", name, (vm.name for vm in listed), "holdfast vm list")
    if len(found) > 1:
        named = ", ".join(f"{vm.vm} on {vm.host_name or 'this host'}" for vm in found.values())
        raise Failure(f"there are {len(found)} VMs {name!r}: {named}", "use a uuid", Exit.USAGE)
    return next(iter(found.values()))


def complete_vm(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return _names(ctx, "vms", "name", incomplete)


def complete_host(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return _names(ctx, "hosts", "host_name", incomplete)


def complete_group(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return _names(ctx, "groups", "name", incomplete)


def complete_incident(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return _names(ctx, "incidents", "id", incomplete)


def _names(ctx: click.Context, question: str, field: str, incomplete: str) -> list[str]:
    """From the running programs; none when they are away, since a shell must not wait or see it."""
    # Late: programs are asked only when a name is completed.
    from holdfast.faces.cli.asking import ask
    from holdfast.faces.cli.settings import Site  # Late: likewise.

    with contextlib.suppress(Failure):
        site = ctx.find_object(Site) or Site(ctx.find_root().params.get("config"))
        rows = rows_of(ask(site, question, or_agent=True).data, question)
        names = sorted({str(row.get(field, "")) for row in rows if isinstance(row, dict)})
        return [name for name in names if name.startswith(incomplete)]
    return []


def rows_of(data: Any, name: str) -> list[Any]:
    """A list that came bare, or under its name."""
    if isinstance(data, dict):
        data = data.get(name, [])
    return data if isinstance(data, list) else []
