"""Settings are read from TOML whole: every mistake is named at once, with its line."""

import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from holdfast.facts.definitions import HostRole
from holdfast.facts.guards import make_guard
from holdfast.facts.mending import HandOver
from holdfast.facts.promises import (
    Admission,
    Group,
    LocalDisk,
    Owner,
    Spread,
    Zones,
)
from holdfast.facts.settings import ControllerPlace, Exec, Plane, Settings, Webhook
from holdfast.facts.settings_hardware import HARDWARE, Hardware, board_problem
from holdfast.facts.settings_lines import Lines, Path
from holdfast.facts.settings_values import (
    Check,
    command,
    images,
    near,
    seconds,
    truth,
    units,
    whole_number,
    word_of,
    words,
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
AT_LINE = re.compile(r" ?\(at (?:line (\d+), column \d+|end of document)\)")


class Problem(Struct, frozen=True):
    """One mistake; `text` is a sentence that begins with the key."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


class SettingsWrong(ValueError):
    """The text is no settings; `problems` are all its mistakes, in the order of their lines."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__("\n".join(map(str, self.problems)))


def read_settings(text: str, file: str) -> Settings:
    """Raises SettingsWrong."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsWrong([_syntax_problem(str(error), text, file)]) from None
    reader = _Reader(file, Lines(text))
    settings = reader.read(tree)
    if reader.problems:
        raise SettingsWrong(reader.problems)
    return settings


def _syntax_problem(said: str, text: str, file: str) -> Problem:
    found = AT_LINE.search(said)
    line = int(found[1]) if found and found[1] else max(1, len(text.splitlines()))
    reason = AT_LINE.sub("", said)
    return Problem(file, line, f"this is not TOML: {reason[:1].lower()}{reason[1:]}")


def text_of(what: str) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"must be {what}, in quotes")
        return value

    return check


def _absolute_path(value: Any) -> str:
    path = text_of("the path of a file or folder")(value)
    if not path.startswith("/"):
        raise ValueError(f"must be an absolute path, and {path!r} does not begin with /")
    return str(path)


def _absolute_paths(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError('must be a list of folders, like ["/srv/shared"]')
    paths = tuple(_absolute_path(one) for one in value)
    if "/" in paths:
        raise ValueError("must not name /: what is on this host alone would be taken for shared")
    return paths


def _url(value: Any) -> str:
    url = str(text_of("a URL like http://HOST:PORT/PATH")(value))
    if not _is_web_address(url):
        raise ValueError(f"must be a URL like http://HOST:PORT/PATH, and {url!r} is none")
    return url


def _is_web_address(url: str) -> bool:
    if not url.isprintable() or " " in url:  # urlsplit takes line breaks out without a word.
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _store(value: Any) -> str:
    if value not in STORES:
        raise ValueError(f"must be one of {', '.join(STORES)}{near(str(value), list(STORES))}")
    return str(value)


def _address(value: Any) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError(f"must be an IP address, and {value!r} is none") from None


def _addresses(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not value:
        raise ValueError('must be an address for each plane, like { a = "10.0.0.1" }')
    found = {str(plane): _address(address) for plane, address in value.items()}
    names = shared_address(found)
    if names:
        raise ValueError(f"must have an address of its own for each plane: {same_address(*names)}")
    return found


def shared_address(planes: Mapping[str, str]) -> tuple[str, str, str] | None:
    """The first two planes that have one address, and that address."""
    seen: dict[str, str] = {}
    for name, address in planes.items():
        if address in seen:
            return seen[address], name, address
        seen[address] = name
    return None


def same_address(one: str, other: str, address: str) -> str:
    """Why that cannot be, as a sentence without its end."""
    return (
        f"{one} and {other} both have {address}, and one address is one plane: two planes share"
        " nothing that can fail"
    )


def _urls(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError('must be a list of URLs, like ["https://10.0.0.1:2379"]')
    return tuple(_url(one) for one in value)


def _roles(value: Any) -> tuple[HostRole, ...]:
    known = ", ".join(HostRole)
    if not isinstance(value, list) or not value or not {*map(str, value)} <= {*HostRole}:
        raise ValueError(f'must be a list of {known}, like ["compute"]')
    return tuple(HostRole(one) for one in dict.fromkeys(value))


STORES = ("sqlite", "etcd")
_PORT = whole_number(1, 65_535)
_SIZE = whole_number(1, 1_048_576, "MiB")

# Each table of the file: its keys, the field of Settings each one fills, and its check.
SECTIONS: Mapping[str, Mapping[str, tuple[str, Check]]] = {
    "host": {
        "name": ("host_name", text_of("the host's name")),
        "rack": ("rack", text_of("the name of its rack")),
        "switch": ("switch", text_of("the name of its switch")),
        "zone": ("zone", text_of("the name of its zone")),
        "roles": ("roles", _roles),
        "gasp_port": ("gasp_port", whole_number(0, 65_535)),
        "kdump_port": ("kdump_port", whole_number(0, 65_535)),
        "watchdog": ("watchdog", _absolute_path),
    },
    "site": {
        "api_port": ("api_port", _PORT),
        "link_port": ("link_port", _PORT),
        "pulse_port": ("pulse_port", _PORT),
        "answer_port": ("answer_port", _PORT),
        "migration_port": ("migration_port", _PORT),
        "tls_dir": ("tls_dir", _absolute_path),
        "store": ("store", _store),
        "etcd_endpoints": ("etcd_endpoints", _urls),
    },
    "storage": {
        "state_dir": ("state_dir", _absolute_path),
        "run_dir": ("run_dir", _absolute_path),
        "cache_dir": ("cache_dir", _absolute_path),
        "recorder_mib": ("recorder_mib", _SIZE),
        "last_words_mib": ("last_words_mib", _SIZE),
        "journal_mib": ("journal_mib", _SIZE),
        "outbox_mib": ("outbox_mib", _SIZE),
    },
    "libvirt": {
        "uri": ("libvirt_uri", text_of("a libvirt URI like qemu:///system")),
        "shared_paths": ("shared_paths", _absolute_paths),
    },
    "vswitch": {
        "canary": ("has_canaries", truth),
        "repair": ("mends_vswitch", truth),
        "repairs_an_hour": ("vswitch_repairs_an_hour", whole_number(0, 20)),
    },
    "acting": {
        "fence_after_s": ("fence_after_s", seconds(3, 600)),
        "brake_percent": ("brake_percent", whole_number(10, 50, "percent of the hosts")),
        "host_losses": ("host_losses", whole_number(0, 2)),
        "hand_over": ("hand_over", word_of(HandOver)),
    },
}

# Tables of which there may be many, each with a name: what they make, their keys, what is needed.
KINDS: Mapping[str, tuple[Callable[..., Any], Mapping[str, Check], tuple[str, ...]]] = {
    "webhook": (
        Webhook,
        {"url": _url, "secret_file": _absolute_path, "heartbeat_s": seconds(1, 3_600)},
        ("url",),
    ),
    "exec": (Exec, {"command": command, "timeout_s": seconds(0.1, 600)}, ("command",)),
    "plane": (Plane, {"address": _address}, ("address",)),
    "controller": (ControllerPlace, {"address": _address, "planes": _addresses}, ("address",)),
    "group": (
        Group,
        {
            "owner": word_of(Owner),
            "level": whole_number(1, 3),
            "restarts": whole_number(0, 1_000),
            "restarts_window_s": whole_number(1, 604_800, "seconds"),
            "dump": truth,
            "priority": whole_number(-100, 100),
            "spread": word_of(Spread),
            "zones": word_of(Zones),
            "admit": word_of(Admission),
            "lease": truth,
            "local_disk": word_of(LocalDisk),
            "images": images,
        },
        (),
    ),
    "process": (
        make_guard,
        {
            "unit": units,
            "pid_file": _absolute_path,
            "cgroup": text_of("a control group like system.slice/docker-*.scope"),
            "program": text_of("the name or path of its program"),
            "args": words,
            "probe": command,
            "probe_socket": _absolute_path,
            "probe_every_s": seconds(0.1, 600),
            "probe_limit_s": seconds(0.1, 60),
            "restart": command,
            "repair": truth,
            "hand_over_s": seconds(5, 3_600),
            "repairs_an_hour": whole_number(0, 20),
            "needs": words,
            "end_mark": _absolute_path,
        },
        (),
    ),
}
TABLES = [*SECTIONS, "hardware", *KINDS]


class _Reader:
    def __init__(self, file: str, lines: Lines) -> None:
        self._file, self._lines = file, lines
        self.problems: list[Problem] = []

    def read(self, tree: dict[str, Any]) -> Settings:
        for key, value in tree.items():
            if key not in TABLES:
                shown = f"[{key}]" if isinstance(value, dict) else key
                self._note((key,), f"{shown} is not known{near(key, TABLES)}", hint=TABLES)
        fields: dict[str, Any] = {}
        for section, checks in SECTIONS.items():
            fields |= self._section(section, checks, tree.get(section, {}))
        made = {kind: self._kind(kind, tree.get(kind, {})) for kind in KINDS}
        hardware = Hardware(**self._values(("hardware",), HARDWARE, tree.get("hardware", {})))
        if problem := board_problem(hardware):
            self._note(("hardware", "board"), problem)
        self._refuse_shared_names(tree)
        self._refuse_shared_addresses(made["plane"])
        if self.problems:
            return Settings()
        return Settings(
            **fields,
            webhooks=made["webhook"],
            execs=made["exec"],
            groups=made["group"],
            processes=made["process"],
            hardware=hardware,
            planes=made["plane"],
            controllers=made["controller"],
        )

    def _section(
        self, section: str, checks: Mapping[str, tuple[str, Check]], table: Any
    ) -> dict[str, Any]:
        plain = {key: check for key, (_, check) in checks.items()}
        found = self._values((section,), plain, table)
        return {checks[key][0]: value for key, value in found.items()}

    def _kind(self, kind: str, tables: Any) -> tuple[Any, ...]:
        make, checks, needed = KINDS[kind]
        made = []
        if not isinstance(tables, dict):
            self._note((kind,), f"{kind} must be tables with names: [{kind}.NAME]")
            return ()
        for name, table in tables.items():
            path = (kind, name)
            if isinstance(table, dict) and not NAME.fullmatch(name):
                self._note(
                    path, f"[{kind}.{name!r}]: a name has letters, digits, and . _ - inside, to 63"
                )
            elif not isinstance(table, dict):
                self._note(path, f"{kind} needs a name before its keys: [{kind}.NAME]")
                continue
            before = len(self.problems)
            values = self._values(path, checks, table)
            for key in needed:
                if key not in table:
                    self._note(path, f"[{kind}.{name}] lacks {key}")
            if len(self.problems) == before:
                made += self._made(path, make, values)
        return tuple(made)

    def _made(self, path: Path, make: Callable[..., Any], values: dict[str, Any]) -> list[Any]:
        if "unit" in values:
            values["units"] = values.pop("unit")
        try:
            return [make(name=path[1], **values)]
        except ValueError as error:
            self._note(path, f"[{'.'.join(path)}] {error}")
            return []

    def _values(self, path: Path, checks: Mapping[str, Check], table: Any) -> dict[str, Any]:
        if not isinstance(table, dict):
            self._note(path, f"{path[0]} must be a table: [{path[0]}]")
            return {}
        values = {}
        known = list(checks)
        for key, value in table.items():
            where, check = (*path, key), checks.get(key)
            if check is None:
                text = f"{key} is not known in [{'.'.join(path)}]{near(key, known)}"
                self._note(where, text, known)
                continue
            try:
                values[key] = check(value)
            except ValueError as error:
                self._note(where, f"{key} {error}")
        return values

    def _refuse_shared_names(self, tree: dict[str, Any]) -> None:
        """Webhooks and programs are told apart by name alone, in status and on disk."""
        webhooks, execs = tree.get("webhook"), tree.get("exec")
        if isinstance(webhooks, dict) and isinstance(execs, dict):
            for name in sorted(webhooks.keys() & execs.keys()):
                text = f"[exec.{name}] has the name of [webhook.{name}]; give it another"
                self._note(("exec", name), text)

    def _refuse_shared_addresses(self, planes: tuple[Plane, ...]) -> None:
        """A UDP port of one address is opened once: the second plane would leave the host deaf."""
        found = shared_address({plane.name: plane.address for plane in planes})
        if found:
            text = f"[plane.{found[1]}] {same_address(*found)}; give it another, or take it away"
            self._note(("plane", found[1]), text)

    def _note(self, path: Path, text: str, hint: list[str] | None = None) -> None:
        if hint and "did you mean" not in text:
            text += f"; known are {', '.join(hint)}"
        self.problems.append(Problem(self._file, self._lines.of(path), text))
