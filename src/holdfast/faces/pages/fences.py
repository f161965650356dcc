"""How hosts can be switched off: their ladders, what devices answered, and a host that is dead."""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct
from rich.text import Text

from holdfast.faces.pages.tables import BAD, GOOD, QUIET, UNSURE, ago, counted, heading, table

ACT = "act"


class DeviceRow(Struct, frozen=True, kw_only=True):
    """`secrets` are names. `is_well` None: it was not rehearsed."""

    agent: str
    options: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    deadline_s: int = 40
    said: str = ""
    is_well: bool | None = None


class FencedRow(Struct, frozen=True, kw_only=True):
    host: str
    host_name: str
    mode: str = "report"
    devices: tuple[DeviceRow, ...] = ()
    rehearsed_utc_ms: int = 0
    is_fenceable: bool = False
    why_not: str = ""


class DeadVm(Struct, frozen=True, kw_only=True):
    vm: str
    name: str
    stays: str = ""


class DeadView(Struct, frozen=True, kw_only=True):
    """What is known of a host that somebody says is dead. `lives`: it is not."""

    host: str
    host_name: str
    lives: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()
    vms: tuple[DeadVm, ...] = ()
    hindered: str = ""


def fences_page(rows: Sequence[FencedRow], now_ms: int) -> Iterator[Any]:
    if not rows:
        yield Text("No host is known yet.", style=QUIET)
        return
    cells = [line for row in rows for line in _lines(row, now_ms)]
    columns = ("HOST", "MODE", "FENCEABLE", "REHEARSED", "DEVICE", "ANSWERED", "IT IS TOLD")
    yield table(columns, cells)
    odd = [row for row in rows if row.mode == ACT and not row.is_fenceable]
    for row in odd:
        yield ""
        text = f"{row.host_name} could not be fenced if it died now: {row.why_not}"
        yield Text(text, style=BAD)
        yield f"  mend it, then: holdfast fence rehearse {row.host_name}"


def _lines(row: FencedRow, now_ms: int) -> Iterator[list[str | Text]]:
    """A line for each device; of the host only on the first."""
    when = ago(row.rehearsed_utc_ms, now_ms) if row.devices else "-"
    first: list[str | Text] = [row.host_name, row.mode, _fenceable(row), when]
    if not row.devices:
        yield [*first, "-", "-", "-"]
    for place, device in enumerate(row.devices, 1):
        begin = first if place == 1 else ["", "", "", ""]
        yield [*begin, f"{place} {device.agent}", _answered(device), _told(device)]


def _fenceable(row: FencedRow) -> Text:
    if row.is_fenceable:
        return Text("yes", style=GOOD)
    return Text("no", style=BAD if row.mode == ACT else QUIET)


def _answered(device: DeviceRow) -> Text:
    if device.is_well is None:
        return Text("not asked yet", style=QUIET)
    return Text(device.said, style="" if device.is_well else BAD)


def device_words(device: DeviceRow) -> str:
    """An agent, what it was told, and the names of what was told it in trust."""
    words = _told(device)
    return f"{device.agent} ({words})" if words else device.agent


def _told(device: DeviceRow) -> str:
    options = [f"{name}={value}" for name, value in sorted(device.options.items())]
    return ", ".join([*options, *(f"{name}=..." for name in device.secrets)])


def rehearsed_lines(rows: Sequence[FencedRow]) -> Iterator[Any]:
    """One host after the other, as a rehearsal found them."""
    for row in rows:
        if row.is_fenceable:
            yield Text(f"{row.host_name} could be fenced now", style=GOOD)
        else:
            yield Text(f"{row.host_name} could not be fenced now", style=BAD)
        for place, device in enumerate(row.devices, 1):
            line = Text(f"  {place} {device.agent}: ")
            yield line.append(device.said, style=UNSURE if device.is_well is False else "")


def dead_page(view: DeadView) -> Iterator[Any]:
    yield heading(f"The last signs of life of {view.host_name}")
    for sign in view.signs:
        yield f"  {sign}"
    yield ""
    yield heading("What happens if it is dead")
    if not view.vms:
        yield "  No VM is known to have run there: nothing starts elsewhere."
    for vm in view.vms:
        where = f"stays down: {vm.stays}" if vm.stays else "starts on another host"
        yield Text(f"  {vm.name} {where}", style=UNSURE if vm.stays else "")
    if view.hindered:
        yield Text(f"  {view.hindered}", style=UNSURE)
    yield ""


def what_starts(view: DeadView) -> str:
    """In a few words, after it was confirmed."""
    count = sum(1 for vm in view.vms if not vm.stays)
    if not count:
        return "none of its VMs can start elsewhere"
    start = f"{counted(count, 'VM starts', 'VMs start')} elsewhere"
    return f"{start}, once recovery is on again" if view.hindered else start
