"""START.md's own commands for a site, as a person would type them, on lab hosts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.architecture.sources import PROJECT

SECTION = "## Several hosts"
# The page's addresses, and those that lab hosts have on the same two networks.
NETWORKS = {"10.0.0.": "10.77.0.", "10.0.1.": "10.78.0."}


@dataclass(frozen=True)
class Line:
    """One command, and where the page says that it is typed."""

    hosts: tuple[str, ...]
    command: str


def lines() -> list[Line]:
    """Each command of the section, with the lab's names and addresses."""
    text = (PROJECT / "docs/START.md").read_text()
    section = text.partition(f"{SECTION}\n")[2].partition("\n## ")[0]
    assert section, f"START.md has no section {SECTION}"
    return list(_read(section))


def _read(section: str) -> Iterator[Line]:
    hosts: tuple[str, ...] = ()
    for line in section.splitlines():
        command = line.removeprefix("    ")
        if command == line or not command.strip():
            continue
        if command.startswith("# on "):
            numbers = re.findall(r"host-(\d+)", command)
            hosts = tuple(f"h{number}" for number in numbers)
            if "every host" in command or "any host" in command:
                hosts = ("every",)
            continue
        for page, lab in NETWORKS.items():
            command = command.replace(page, lab)
        yield Line(hosts, command.partition("#")[0].strip())
