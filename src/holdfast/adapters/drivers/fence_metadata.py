"""What a fence agent of ClusterLabs says of itself, and of what it was asked.

Source: the fence agent API (FenceAgentAPI.md) and lib/fencing.py of ClusterLabs' fence-agents.
"""

import json
import re
import shlex
import urllib.parse
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MOST_WORDS = 300
_SECRET = re.compile(
    r"passw(or)?d$|^(api_?|secret_|access_)key$|^token$|^hexadecimal_kg$|^community$"
)
# Programs that it runs, options of theirs, and files that it writes.
_REACHES_OUT = re.compile(
    r"_script$|(?<!api)_path$|^debug(_file)?$|^logfile$|^cookie_file$|^exec$|^ssh_options$|sudo$"
)
# What every agent answers to, and what we say ourselves or never want said.
_OURS = frozenset(("action", "option", "help", "version", "nodename"))
_STATUS = re.compile(r"^\s*status:\s*(on|off)\s*$", re.IGNORECASE | re.MULTILINE)
_STAMP = re.compile(r"^(\d{4}-\d\d-\d\d [\d:,.]+ )?(?P<level>[A-Z]{4,8}):(root:)?\s*")
_NO_NEWS = ("Please use '-h' for usage", "validate-all failed")


@dataclass(frozen=True)
class Parameter:
    """`instead_of` is its deprecated name."""

    name: str
    is_required: bool = False
    is_deprecated: bool = False
    instead_of: str = ""

    @property
    def is_secret(self) -> bool:
        return is_secret(self.name)


@dataclass(frozen=True)
class Metadata:
    """`is_fabric`: it cuts a host off from storage or network, and leaves it running."""

    parameters: Mapping[str, Parameter]
    actions: frozenset[str]
    is_fabric: bool

    def missing(self, given: Iterable[str]) -> list[str]:
        """What it cannot do without, by the newest names, in order."""
        known = set(given)
        return [
            one.name
            for one in self.parameters.values()
            if one.is_required and not one.is_deprecated and not known & {one.name, one.instead_of}
        ]


def is_secret(parameter: str) -> bool:
    """Whether the value of a parameter of this name is shown to nobody. Agents do not say so
    themselves: their names do."""
    return _SECRET.search(parameter.replace("-", "_")) is not None


def reaches_out(parameter: str) -> bool:
    """Whether a parameter of this name lets whoever sets it run programs or write files."""
    return _REACHES_OUT.search(parameter.replace("-", "_")) is not None


def read_metadata(text: str) -> Metadata:
    """Raises ValueError where this is not what an agent says of itself."""
    try:
        root = ET.fromstring(text[max(0, text.find("<")) :])
    except ET.ParseError as error:
        raise ValueError(f"its metadata is not XML: {error}") from None
    if root.tag != "resource-agent" or root.find("actions") is None:
        raise ValueError("its metadata describes no actions")
    actions = {one.get("name", ""): one for one in root.iterfind("actions/action")}
    parameters = [_parameter(one) for one in root.iterfind("parameters/parameter")]
    return Metadata(
        parameters={one.name: one for one in parameters if one.name not in _OURS},
        actions=frozenset(actions),
        is_fabric="on" in actions and _is_set(actions["on"], "automatic", "on_target"),
    )


def _parameter(found: ET.Element) -> Parameter:
    content = found.find("content")
    has_default = content is not None and bool(content.get("default"))
    return Parameter(
        name=found.get("name", ""),
        is_required=_is_set(found, "required") and not has_default,
        is_deprecated=_is_set(found, "deprecated"),
        instead_of=found.get("obsoletes", ""),
    )


def _is_set(element: ET.Element, *names: str) -> bool:
    return any(element.get(name) in ("1", "true") for name in names)


def input_lines(action: str, values: Mapping[str, str]) -> bytes:
    """What an agent reads on its standard input; values were checked to be single lines."""
    lines = [f"action={action}", *(f"{name}={_quoted(value)}" for name, value in values.items())]
    return "".join(f"{line}\n" for line in lines).encode()


def _quoted(value: str) -> str:
    """Agents take blanks off both ends, and then a pair of quotes: what needs one gets one."""
    is_bare = value == value.strip() and not (value[:1] == value[-1:] == '"')
    return value if is_bare else f'"{value}"'


def read_status(said: str) -> str:
    """`on` or `off`, where that and nothing else was said of the power; otherwise empty."""
    words = {word.lower() for word in _STATUS.findall(said)}
    return words.pop() if len(words) == 1 else ""


def last_words(said: str, complained: str, secrets: Iterable[str]) -> str:
    """What an agent complained of, as one short line without its secrets; may be empty."""
    hidden = mask(f"{complained}\n", secrets), mask(f"{said}\n", secrets)
    lines = [line.strip() for line in hidden[0].splitlines() if line.strip()]
    found = [line for line in lines if _level(line) in ("ERROR", "CRITICAL")] or lines[-2:]
    found = found or [line.strip() for line in hidden[1].splitlines() if line.strip()][-2:]
    words = [_STAMP.sub("", line).removeprefix("Failed: ") for line in found]
    line = "; ".join(word.rstrip(".") for word in words if word not in _NO_NEWS)
    shown = "".join(letter if letter.isprintable() else "?" for letter in line)
    return shown if len(shown) <= MOST_WORDS else f"{shown[: MOST_WORDS - 4]} ..."


def _level(line: str) -> str:
    stamp = _STAMP.match(line)
    return stamp["level"] if stamp else ""


def mask(text: str, secrets: Iterable[str]) -> str:
    """`text` without secrets, in whichever of the usual ways they are written in it."""
    forms = {
        form
        for secret in secrets
        for form in (
            secret,
            shlex.quote(secret),
            repr(secret)[1:-1],
            json.dumps(secret)[1:-1],
            urllib.parse.quote(secret, safe=""),
            urllib.parse.quote_plus(secret),
        )
        if secret
    }
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "***")
    return text
