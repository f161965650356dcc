"""What a VM left at its death, as a page: why it died, its last seconds, and where the rest is."""

import itertools
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from rich.text import Text

from holdfast.faces.pages.tables import BAD, STRONG, UNSURE, facts, table
from holdfast.facts.instants import NS_PER_MS, spoken
from holdfast.facts.last_words import Bundle, Noted, Sample

SECONDS_SHOWN = 20
CONSOLE_LINES = 25
_STATES = {"R": "runs", "S": "sleeps", "D": "waits for a disk", "T": "is stopped", "Z": "is dead"}
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)", re.DOTALL)


def last_words_page(data: Mapping[str, Any]) -> Iterator[Any]:
    """`data` holds `bundle`, and `folder`: where its files are."""
    bundle = msgspec.convert(data["bundle"], Bundle)
    yield Text(f"{bundle.title or bundle.name}.", style=BAD)
    yield ""
    yield facts(_known(bundle))
    yield from _console(bundle)
    yield from _events(bundle)
    yield from _seconds(bundle.samples)
    yield from _missing(bundle)
    yield from _files(bundle, str(data.get("folder", "")))


def _known(bundle: Bundle) -> list[tuple[str, str | Text]]:
    return [
        ("VM", f"{bundle.name} ({bundle.vm})"),
        ("When", _date(bundle.fault_utc_ms)),
        ("Where", bundle.host or "not known"),
        ("Why", Text(bundle.cause or "not known", style=STRONG)),
        ("Kept", f"within {spoken(bundle.took_ms)}, of incident {bundle.incident}"),
        ("What was done", f"holdfast explain {bundle.incident}"),
    ]


def _console(bundle: Bundle) -> Iterator[Any]:
    text = "".join(note.text for note in bundle.notes if note.kind == "console")
    lines = [line for line in printable(text).split("\n") if line.strip()][-CONSOLE_LINES:]
    if lines:
        yield from _section(f"The last {len(lines)} lines of its console")
        yield Text("\n".join(f"  | {line}" for line in lines))


def _events(bundle: Bundle) -> Iterator[Any]:
    events = [note for note in bundle.notes if note.kind != "console"]
    if events:
        yield from _section("Events before and at its death")
        yield facts(
            [(_when(note, bundle), f"{note.kind}: {printable(note.text)}") for note in events]
        )


def _seconds(samples: Sequence[Sample]) -> Iterator[Any]:
    """Rates between neighbours: a total says little."""
    shown = samples[-SECONDS_SHOWN - 1 :]
    if len(shown) < 2:
        return
    yield from _section(f"Its last {len(shown) - 1} seconds")
    columns = ("TIME", "CPU", "MEMORY", "DISK READ", "WRITTEN", "NET IN", "OUT", "QEMU")
    yield table(columns, [_rates(a, b) for a, b in itertools.pairwise(shown)])


def _rates(before: Sample, now: Sample) -> list[str | Text]:
    seconds = max((now.at - before.at) / NS_PER_MS / 1_000, 0.001)

    def rate(name: str) -> str:
        return f"{sized((getattr(now, name) - getattr(before, name)) / seconds)}/s"

    return [
        time.strftime("%H:%M:%S", time.localtime(now.utc_ms / 1_000)),
        f"{(now.cpu_ms - before.cpu_ms) / seconds / 10:.0f} %",
        sized(now.rss_kib * 1_024),
        rate("read_bytes"),
        rate("written_bytes"),
        rate("net_in_bytes"),
        rate("net_out_bytes"),
        _STATES.get(now.state, now.state),
    ]


def _missing(bundle: Bundle) -> Iterator[Any]:
    if bundle.missing:
        yield from _section("What is missing, and why")
        yield facts([(what, Text(why, style=UNSURE)) for what, why in bundle.missing.items()])


def _files(bundle: Bundle, folder: str) -> Iterator[Any]:
    if bundle.files:
        yield from _section(f"Files in {folder or 'its folder'} on {bundle.host or 'its host'}")
        yield facts([(name, sized(size)) for name, size in bundle.files.items()])


def _section(title: str) -> Iterator[Any]:
    yield ""
    yield Text(title, style=STRONG)


def _when(note: Noted, bundle: Bundle) -> str:
    before_ms = bundle.fault_utc_ms - note.utc_ms
    return f"{'-' if before_ms > 0 else '+'}{spoken(abs(before_ms))}"


def _date(utc_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(utc_ms / 1_000))


def sized(size_bytes: float) -> str:
    """Bytes as a person says them: 0 B, 12 KiB, 1.5 GiB."""
    size = max(size_bytes, 0.0)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1_024 or unit == "GiB":
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.3g} {unit}"
        size /= 1_024
    raise AssertionError("the last unit takes all")


def printable(text: str) -> str:
    """A guest writes its console: nothing of it may steer the reader's terminal."""
    plain = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\t", "    ")
    return "".join(letter for letter in plain if letter == "\n" or letter.isprintable())
