"""What a host and its VMs last said, as a page: the controller has it when the host is lost."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from rich.text import Text

from holdfast.faces.pages.last_words import last_words_page, printable, sized
from holdfast.faces.pages.tables import BAD, STRONG, UNSURE, table
from holdfast.facts.last_words import Noted, Sample

LOG_LINES = 25
_HALTED = {"cpu": ("CPU", "some"), "memory": ("MEMORY", "full"), "io": ("I/O", "full")}


def left_words_page(data: Mapping[str, Any]) -> Iterator[Any]:
    """What a VM left at its death; of a VM or a host that is away, what was copied of it."""
    if "host_words" in data:
        return host_words_page(data["host_words"])
    if "vm_copy" in data:
        return vm_copy_page(data["vm_copy"])
    return last_words_page(data)


def host_words_page(data: Mapping[str, Any]) -> Iterator[Any]:
    """`data` as the controller tells it of one host."""
    name = data["host_name"]
    if data["is_up"]:
        yield Text(f"{name} is there; what follows is what it would leave behind.", style=STRONG)
    else:
        yield Text(f"{name} is away. This is the last that it said.", style=BAD)
    yield from host_words(data)


def host_words(data: Mapping[str, Any]) -> Iterator[Any]:
    """The same below the story of an incident, which has said already what became of the host."""
    pressures = data.get("pressure", [])
    told_utc_ms = pressures[-1]["utc_ms"] if pressures else 0
    lines = data.get("kernel_log", [])
    hardware = [line for line in data.get("hardware", []) if line not in lines[-LOG_LINES:]]
    if not (lines or hardware or pressures or data.get("vms")):
        yield Text("Nothing is kept of it: it was never heard, or too long ago.", style=UNSURE)
        return
    yield from _pressure(pressures)
    if hardware:
        yield from _block("What its kernel said of the hardware before that", hardware)
    if lines:
        told = f", as of {_clock(told_utc_ms)}" if told_utc_ms else ""
        yield from _block(f"The last lines of its kernel's log{told}", lines[-LOG_LINES:])
    for what, text in data.get("earlier", {}).items():
        title = f"What firmware kept of an earlier boot's end ({what})"
        yield from _block(title, text.splitlines()[-LOG_LINES:])
    yield from _vms(data)


def vm_copy_page(data: Mapping[str, Any]) -> Iterator[Any]:
    """Of one VM whose host is away."""
    where = data["host_name"]
    yield Text(f"{data['name']}: {where} is away. This is the last that was copied.", style=BAD)
    yield from _vms({"vms": [data]}, "What it last did")
    lines = _console(data)
    if lines:
        yield from _block("The end of its console", lines)


def _pressure(pressures: list[dict[str, Any]]) -> Iterator[Any]:
    if not pressures:
        return
    yield from _title("How much its work stood still (of ten seconds; cpu: some work, else all)")
    rows = [[_clock(one["utc_ms"]), *_shares(one["said"] or {})] for one in pressures]
    yield table(("TIME", *(title for title, _ in _HALTED.values())), rows)


def _shares(said: Mapping[str, str]) -> list[str | Text]:
    return [_share(said.get(name, ""), kind) for name, (_, kind) in _HALTED.items()]


def _share(text: str, kind: str) -> str:
    for line in text.splitlines():
        words = line.split()
        if words[:1] == [kind]:
            for word in words:
                if word.startswith("avg10="):
                    return f"{word.removeprefix('avg10=')} %"
    return "not told"


def _vms(data: Mapping[str, Any], title: str = "What its VMs last did") -> Iterator[Any]:
    vms = data.get("vms", [])
    if not vms:
        return
    yield from _title(title)
    yield table(("VM", "LAST COPIED", "CPU", "MEMORY", "LAST EVENT"), [_vm(vm) for vm in vms])
    if left := data.get("vms_left_out", 0):
        yield Text(f"{left} more VMs are left out; see holdfast last-words VM", style=UNSURE)


def _vm(vm: Mapping[str, Any]) -> list[str | Text]:
    samples = msgspec.convert(vm.get("samples", []), list[Sample])
    notes = msgspec.convert(vm.get("notes", []), list[Noted])
    if not vm.get("told_utc_ms"):
        return [vm["name"], Text("nothing", style=UNSURE), "", "", ""]
    last = f"{notes[-1].kind}: {printable(notes[-1].text)[:60]}" if notes else ""
    return [
        vm["name"],
        _clock(vm["told_utc_ms"]),
        _cpu(samples),
        sized(samples[-1].rss_kib * 1_024) if samples else "",
        last,
    ]


def _cpu(samples: list[Sample]) -> str:
    if len(samples) < 2 or samples[-1].at <= samples[-2].at:
        return ""
    seconds = (samples[-1].at - samples[-2].at) / 1e9
    return f"{(samples[-1].cpu_ms - samples[-2].cpu_ms) / seconds / 10:.0f} %"


def _console(vm: Mapping[str, Any]) -> list[str]:
    return [line for line in printable(vm.get("console", "")).split("\n") if line.strip()]


def _block(title: str, lines: list[str]) -> Iterator[Any]:
    yield from _title(title)
    yield Text("\n".join(f"  | {printable(line)}" for line in lines))


def _title(text: str) -> Iterator[Any]:
    yield ""
    yield Text(text, style=STRONG)


def _clock(utc_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(utc_ms / 1_000))
