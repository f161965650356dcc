"""Run a journal through policy again: the same inputs must give the same actions."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct

from holdfast.adapters.journals.segments import read
from holdfast.agent.memory import Snapshot, read_input
from holdfast.controller.site_memory import read_fact, read_world
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import json_option, show_json
from holdfast.facts.actions import Action
from holdfast.facts.fencing import HostMode
from holdfast.policy.decide import Decider
from holdfast.policy.site import SiteDecider
from holdfast.policy.world import SCHEMA
from holdfast.ports.journal import Record


class Difference(Struct, frozen=True, kw_only=True):
    """Where policy now decides otherwise than it did: the input's number, and both answers."""

    n: int
    input: Any
    did: list[Any]
    would_do: list[Any]


class Replayed(Struct, kw_only=True):
    """`cut_off` are inputs whose actions the journal does not hold in full (a kill), `gaps` holes
    in it: what follows one is not judged, up to the next snapshot."""

    segments: int = 0
    inputs: int = 0
    actions: int = 0
    cut_off: int = 0
    gaps: int = 0
    unreadable: int = 0
    differences: list[Difference] = []


def replay_records(records: Iterable[Record]) -> Replayed:
    """From the first snapshot on; each snapshot begins anew with the world that it holds."""
    told = Replayed()
    again: Again | None = None
    asked: Record | None = None
    would_do: list[Any] = []
    did: list[Any] = []
    expected = 0
    for record in records:
        if expected and record.n != expected:
            told.gaps += 1
            again = asked = None
        expected = record.n + 1
        if record.kind == "action":
            did.append(msgspec.json.decode(record.body))
            continue
        if asked is not None and record.kind != "note":
            _compare(told, asked, did, would_do, is_last=record.kind == "snapshot")
            asked = None
        if record.kind == "snapshot":
            told.segments += 1
            again = _again(record)
        elif record.kind == "input" and again is not None:
            try:
                actions = again(record)
            except msgspec.ValidationError:
                told.unreadable += 1
                continue
            told.inputs += 1
            asked, did = record, []
            would_do = [msgspec.json.decode(msgspec.json.encode(action)) for action in actions]
            told.actions += len(actions)
    if asked is not None:
        _compare(told, asked, did, would_do, is_last=True)
    return told


Again = Callable[[Record], Sequence[Action]]


def _again(record: Record) -> Again | None:
    """What the policy of a snapshot's world makes of each input, of an agent or of a controller.
    None for a world that this version does not know: it is not guessed at."""
    if b'"is":"SiteSnapshot"' in bytes(record.body):
        site = read_world(record)
        decider = SiteDecider(site) if site is not None else None
        return (lambda one: decider.step(read_fact(one))) if decider is not None else None
    if record.schema != SCHEMA:
        return None
    own = Decider(msgspec.json.decode(record.body, type=Snapshot).world)
    return lambda one: own.step(read_input(one))


def _compare(
    told: Replayed, asked: Record, did: list[Any], would_do: list[Any], *, is_last: bool
) -> None:
    if did == would_do:
        return
    if len(did) < len(would_do) and did == would_do[: len(did)] and (is_last or not did):
        told.cut_off += 1
        return
    told.differences.append(
        Difference(
            n=asked.n, input=msgspec.json.decode(asked.body), did=list(did), would_do=would_do
        )
    )


@click.command()
@click.argument("what", required=False, metavar="[FOLDER|INCIDENT]")
@click.option("--settings", "file", metavar="FILE", help="As if [acting] of FILE had held.")
@click.option(
    "--mode",
    type=click.Choice([str(mode) for mode in HostMode]),
    help="As if every host had been in this mode.",
)
@json_option
@pass_site
def replay(site: Site, what: str | None, file: str | None, mode: str | None, as_json: bool) -> int:
    """Run a journal through policy again: all of FOLDER, by default of this host's agent, or an
    INCIDENT of a host, from the journal of the controller here.

    Of an incident it tells each act beside the one that was done, also under other settings. What
    was heard stays as it was; nothing is touched. Exit code 1 says that policy decides otherwise.
    """
    is_folder = what is None or "/" in what or Path(what).is_dir()
    if what is not None and not is_folder:
        # Late: a folder needs nothing of controllers.
        from holdfast.faces.cli.what_if import replay_incident

        return replay_incident(site, what, file, mode, as_json=as_json)
    if file or mode:
        text = "other settings are tried on an incident, not on a folder"
        raise Failure(text, "holdfast replay INCIDENT --settings FILE", Exit.USAGE)
    return _replay_folder(site, what, as_json=as_json)


def _replay_folder(site: Site, folder: str | None, *, as_json: bool) -> int:
    path = Path(folder or Path(site.settings.state_dir) / "journal")
    if not path.is_dir():
        raise Failure(f"there is no journal in {path}", "holdfast replay FOLDER", Exit.USAGE)
    try:
        told = replay_records(read(path))
    except PermissionError as error:
        raise Failure(f"cannot read {error.filename}", "run it with sudo") from None
    if not told.segments:
        reason = f"there is nothing to replay in {path}: no snapshot that this version knows"
        raise Failure(reason, "holdfast replay FOLDER", Exit.USAGE)
    if as_json:
        show_json(told)
    else:
        _tell(told)
    return Exit.BAD_NEWS if told.differences else Exit.FINE


def _tell(told: Replayed) -> None:
    click.echo(f"{told.inputs} inputs in {told.segments} segments gave {told.actions} actions")
    for count, what in ((told.cut_off, "cut off by a kill"), (told.unreadable, "unknown")):
        if count:
            click.echo(f"{count} inputs were {what}")
    if told.gaps:
        click.echo(f"{told.gaps} holes are in the journal; what follows one was not judged")
    if not told.differences:
        return click.echo("policy decides the same")
    first = told.differences[0]
    click.secho(f"policy decides otherwise {len(told.differences)} times, first at", fg="red")
    click.echo(f"  line {first.n}: {msgspec.json.encode(first.input).decode()}")
    click.echo(f"  did:      {_names(first.did)}")
    return click.echo(f"  would do: {_names(first.would_do)}")


def _names(actions: list[Any]) -> str:
    return ", ".join(msgspec.json.encode(action).decode() for action in actions) or "nothing"
