"""Alarms: what is open now, what comes, who has seen it."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from holdfast.faces.cli.asking import CONTROLLER, Said, ask, ask_program, convert
from holdfast.faces.cli.calling import Away
from holdfast.faces.cli.choosing import Choices, rows_of
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.following import FellBehind, follow
from holdfast.faces.cli.settings import Site
from holdfast.faces.cli.showing import json_option, note, show, show_json
from holdfast.facts.alarms import Alarm, AlarmRecord, AlarmState
from holdfast.facts.events import EventKind

RETRY_S = 1.0


@click.group(cls=Choices, invoke_without_command=True)
@click.option("--follow", is_flag=True, help="Print each alarm as it comes, until Ctrl-C.")
@click.option("--all", "with_cleared", is_flag=True, help="Cleared ones too.")
@click.option("--catalogue", is_flag=True, help="Every type of alarm: meaning, clearing, repair.")
@json_option
@click.pass_context
def alarms(
    ctx: click.Context, follow: bool, with_cleared: bool, catalogue: bool, as_json: bool
) -> None:
    """List the open alarms. `alarms ack NUMBER` says that you have seen one."""
    if ctx.invoked_subcommand is not None:
        return
    site = ctx.ensure_object(Site)
    if catalogue:
        show_catalogue(as_json)
    elif follow:
        follow_alarms(site, as_json)
    else:
        list_alarms(site, with_cleared, as_json)


def list_alarms(site: Site, with_cleared: bool, as_json: bool) -> None:
    said = ask(site, "alarms", or_agent=True, include_cleared=with_cleared)
    records = read_alarms(said)
    if as_json:
        return show_json({"alarms": records, "from": said.source})
    # Late: JSON needs no tables.
    from holdfast.faces.pages.alarms import alarms_page

    note(said.note)
    return show(alarms_page(records, wall_ms()))


def show_catalogue(as_json: bool) -> None:
    # Late: only this option needs it.
    from holdfast.faces.pages.alarms import catalogue_page
    from holdfast.facts.catalogue import CATALOGUE  # Late: likewise.

    if as_json:
        return show_json({"alarm_types": CATALOGUE})
    return show(catalogue_page())


def follow_alarms(site: Site, as_json: bool) -> None:
    """Never ends by itself."""
    # Late: only this option needs it.
    from holdfast.faces.pages.alarms import news_line

    for record in alarm_stream(site, note):
        if as_json:
            click.echo(_json_line(record))
        else:
            show([news_line(record, wall_ms())])


def alarm_stream(site: Site, say: Callable[[str], None]) -> Iterator[AlarmRecord]:
    """Those that are open, then each as it comes; nothing twice.

    A controller that goes away is awaited, and `say` hears of it. Raises Failure if it may not
    be asked at all.
    """
    seen: dict[str, tuple[int, str]] = {}
    has_answered, was_up = False, True
    while True:
        try:
            since = str(ask_program(site, CONTROLLER, "events", limit=1)["next"])
            present = ask_program(site, CONTROLLER, "alarms")
            if not was_up:
                say("the controller answers again")
            was_up = has_answered = True
            yield from _new_ones(present, seen)
            for event in follow(site, since):
                if event.kind == EventKind.ALARM:
                    yield from _new_ones([event.data], seen)
        except Away as away:
            if was_up:
                say(f"{away}; waiting for it")
            was_up = False
        except FellBehind:
            say("alarms came faster than they were read: some changes were left out")
        except Failure as failure:
            if not has_answered:
                raise
            say(failure.message)
        time.sleep(RETRY_S)


def _new_ones(data: Any, seen: dict[str, tuple[int, str]]) -> Iterator[AlarmRecord]:
    """After a broken link the controller begins again with all that are open."""
    for record in read_alarms(Said(data, CONTROLLER)):
        alarm = record.alarm
        state = (alarm.revision, record.acknowledged_by)
        if seen.get(alarm.key) != state:
            seen[alarm.key] = state
            yield record
        if alarm.state is AlarmState.CLEARED:
            seen.pop(alarm.key, None)


@alarms.command()
@click.argument("which", metavar="NUMBER|NAME")
@json_option
@click.pass_context
def ack(ctx: click.Context, which: str, as_json: bool) -> None:
    """Say that you have seen an alarm.

    NUMBER is that of `holdfast alarms`; NAME that of a VM or host with one open alarm. Programs
    use its key, which does not change while others come and go.
    """
    site = ctx.ensure_object(Site)
    records = read_alarms(ask(site, "alarms", include_cleared=False))
    key = _key(which, records)
    data = ask(site, "acknowledge", key=key).data
    if as_json:
        return show_json(data)
    alarm = convert(data, AlarmRecord).alarm
    return click.echo(f"acknowledged: {alarm.condition} of {alarm.subject.name}")


def _key(which: str, records: list[AlarmRecord]) -> str:
    if not which.isdigit():
        named = [one.alarm.key for one in records if one.alarm.subject.name == which]
        if len(named) > 1:
            reason = f"{which} has {len(named)} open alarms"
            raise Failure(reason, "say which by its number: holdfast alarms", Exit.USAGE)
        return named[0] if named else which
    if 1 <= int(which) <= len(records):
        return records[int(which) - 1].alarm.key
    reason = f"there is no alarm number {which}: {len(records)} open"
    raise Failure(reason, "holdfast alarms lists them with their numbers", Exit.USAGE)


def read_alarms(said: Said) -> list[AlarmRecord]:
    """The agent has alarms without what only the VIM knows; they are filled up with its times."""
    return [_record(row) for row in rows_of(said.data, "alarms")]


def _record(row: Any) -> AlarmRecord:
    if isinstance(row, dict) and "alarm" not in row:
        fault_utc_ms = int(row.get("fault_utc_ms", 0))
        return AlarmRecord(
            alarm=convert(row, Alarm),
            raised_utc_ms=fault_utc_ms,
            changed_utc_ms=fault_utc_ms,
            fault_utc_ms=fault_utc_ms,
            detected_utc_ms=fault_utc_ms,
            sent_utc_ms=0,
            arrived_utc_ms=0,
        )
    return convert(row, AlarmRecord)


def _json_line(record: AlarmRecord) -> str:
    # Late: only --follow --json writes lines.
    import msgspec

    return msgspec.json.encode(record).decode()


def wall_ms() -> int:
    return time.time_ns() // 1_000_000
