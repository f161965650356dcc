"""Who may belong to the site: tokens and certificates, and when they end."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from holdfast.faces.pages.tables import BAD, GOOD, QUIET, STRONG, UNSURE, table

DAY_MS = 86_400_000
SOON_MS = 30 * DAY_MS
STATES = {"open": GOOD, "used": QUIET, "expired": UNSURE, "revoked": BAD}


def tokens_table(rows: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    if not rows:
        yield "No token was made."
        return
    yield table(
        ("TOKEN", "STATE", "FOR", "UNTIL", "MADE BY", "USED BY"),
        [
            [
                Text(str(row["id"]), style=STRONG),
                Text(str(row["state"]), style=STATES.get(str(row["state"]), "")),
                "controller" if row["is_controller"] else "host",
                _day(row["until_utc_ms"]),
                str(row["made_by"]) or "-",
                str(row["used_by"]) or "-",
            ]
            for row in rows
        ],
    )


def certificates_table(rows: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    if not rows:
        yield "No certificate was made."
        return
    now_ms = time.time_ns() // 1_000_000
    yield table(
        ("HOST", "ROLE", "STATE", "UNTIL", "SERIAL"),
        [
            [
                Text(str(row["host_name"]), style=STRONG),
                "controller" if row["is_controller"] else "host",
                _state(row, now_ms),
                _day(row["ends_utc_ms"]),
                str(row["serial"]),
            ]
            for row in rows
        ],
    )


def _state(row: Mapping[str, Any], now_ms: int) -> Text:
    if row["revoked_utc_ms"]:
        return Text(f"revoked ({row['reason']})", style=QUIET)
    left_ms = row["ends_utc_ms"] - now_ms
    if left_ms <= 0:
        return Text("expired", style=BAD)
    if left_ms < SOON_MS:
        return Text(f"ends in {left_ms // DAY_MS} days", style=UNSURE)
    return Text("holds", style=GOOD)


def _day(utc_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(utc_ms / 1_000))
