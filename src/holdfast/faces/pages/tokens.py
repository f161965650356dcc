"""Tokens of the API as a table."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from holdfast.faces.pages.tables import BAD, QUIET, ago, clock, table
from holdfast.facts.tokens import TokenShown


def tokens_page(tokens: Sequence[TokenShown], now_ms: int) -> Iterator[Any]:
    if not tokens:
        yield Text(
            "There is no token. Make one: holdfast token create NAME --role see", style=QUIET
        )
        return
    rows = [
        (one.name, one.role, _end(one, now_ms), ago(one.used_utc_ms, now_ms), one.made_by)
        for one in tokens
    ]
    yield table(("TOKEN", "ROLE", "ENDS", "LAST USED", "MADE BY"), rows)


def _end(one: TokenShown, now_ms: int) -> Text:
    if one.until_utc_ms <= now_ms:
        return Text("has ended", style=BAD)
    return Text(clock(one.until_utc_ms, now_ms))
