"""What init and join write into the settings file, between two marks; the rest is a person's."""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from holdfast.facts.membership import SitePlan
from holdfast.facts.settings import ControllerPlace

PORTS = ("api_port", "link_port", "pulse_port", "answer_port", "gasp_port", "kdump_port")
BEGIN = (
    "# >>> holdfast: written by `holdfast init` and `holdfast join`; what is in here is replaced"
)
END = "# <<< holdfast"
_BLOCK = re.compile(r"\n*^# >>> holdfast\b.*?^# <<< holdfast[^\n]*\n?", re.MULTILINE | re.DOTALL)
_SITE = re.compile(r"^\[site\][^\n]*\n(?:(?!\[)[^\n]*\n?)*", re.MULTILINE)


class SiteFileWrong(Exception):
    """The settings file cannot be written; the text says why, and what to do."""


def read_person(path: Path) -> str:
    """What a person wrote. Raises SiteFileWrong, also for what is no TOML."""
    try:
        text = _BLOCK.sub("\n", path.read_text()).strip("\n")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise SiteFileWrong(f"cannot read {path}: {error}") from None
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SiteFileWrong(f"{path} is not TOML: {error}; holdfast config check") from None
    return f"{text}\n" if text else ""


def write_site(
    path: Path, plan: SitePlan, planes: Mapping[str, str], *, host_name: str, tls_dir: str
) -> bool:
    """Put the site's part in; False if it is there already. Raises SiteFileWrong.

    A plane or name that a person wrote stays as it is; [site] is ours.
    """
    person = read_person(path)
    tree = tomllib.loads(person)
    person = _SITE.sub("", person)
    parts = [BEGIN]
    if host_name and "host" not in tree:
        parts.append(f'[host]\nname = "{host_name}"\n')
    parts.append(_site(plan, tls_dir))
    written = tree.get("plane", {})
    parts += [
        f'[plane.{name}]\naddress = "{address}"\n'
        for name, address in planes.items()
        if name not in written
    ]
    places = (one for one in plan.controllers if one.name not in tree.get("controller", {}))
    parts += _controllers(places)
    parts[-1] = parts[-1].rstrip("\n")
    text = "\n".join([*([person] if person else []), *parts, END, ""])
    return _replace(path, text)


def remove_site(path: Path) -> bool:
    """Leave what a person wrote; False if nothing is left, and the file is gone."""
    person = read_person(path)
    if not person:
        path.unlink(missing_ok=True)
        return False
    _replace(path, person)
    return True


def _site(plan: SitePlan, tls_dir: str) -> str:
    lines = [
        "[site]",
        *(f"{name} = {getattr(plan, name)}" for name in PORTS if getattr(plan, name)),
        f'tls_dir = "{tls_dir}"',
        f'store = "{plan.store}"',
    ]
    if plan.etcd_endpoints:
        lines.append(f"etcd_endpoints = [{', '.join(map(_quoted, plan.etcd_endpoints))}]")
    return "\n".join([*lines, ""])


def _controllers(places: Iterable[ControllerPlace]) -> list[str]:
    found = []
    for place in places:
        lines = [f"[controller.{_quoted(place.name)}]", f'address = "{place.address}"']
        if place.planes:
            inner = ", ".join(f"{_quoted(n)} = {_quoted(a)}" for n, a in place.planes.items())
            lines.append(f"planes = {{ {inner} }}")
        found.append("\n".join([*lines, ""]))
    return found


def _quoted(text: str) -> str:
    return f'"{text}"'


def _replace(path: Path, text: str) -> bool:
    try:
        if path.read_text() == text:
            return False
    except OSError:
        pass
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".new")
        with beside.open("w") as file:
            if path.exists():
                os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise SiteFileWrong(f"cannot write {path}: {error.strerror}") from None
    return True
