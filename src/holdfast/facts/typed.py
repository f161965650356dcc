"""What a person typed for others to read: a reason, or how something is known."""

from collections.abc import Mapping
from typing import Any

TEXTS = ("reason", "because")


def one_line(text: str) -> str:
    """On one line, and without characters that would steer a terminal."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def cleaned(args: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked, its free texts on one line each."""
    texts = {key: one_line(args[key]) for key in TEXTS if isinstance(args.get(key), str)}
    return {**args, **texts}
