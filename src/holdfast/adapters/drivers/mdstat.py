"""The state of Linux software RAIDs, from /proc/mdstat and sysfs.

Source: drivers/md/md.c (md_seq_show), Documentation/admin-guide/md.rst.
"""

import re
from pathlib import Path

from holdfast.facts.hardware import RaidState
from holdfast.facts.instants import Instant

_ARRAY = re.compile(r"^(?P<array>md\S+) : (?P<state>\w+)(?: \([a-z-]+\))? ?(?P<rest>.*)$")
_MEMBER = re.compile(r"(?P<name>[^\s\[]+)\[\d+\](?P<flags>(?:\([A-Z]\))*)")
_COUNT = re.compile(r"\[(?P<wanted>\d+)/(?P<working>\d+)\] \[[U_]+\]")
_PROGRESS = re.compile(
    r"(?P<action>resync|recovery|check|reshape|repair)\s*=\s*(?P<percent>[\d.]+)%"
)
_WAITS = re.compile(r"(?P<action>resync|recovery|reshape)\s*=\s*(?:DELAYED|PENDING)")


def read_mdstat(text: str, at: Instant) -> list[RaidState]:
    """Of each array that is active and has members to spare; RAID 0 and linear have none."""
    found: list[RaidState] = []
    array: re.Match[str] | None = None
    lines: list[str] = []
    for line in [*text.splitlines(), "end : "]:
        if line and not line[0].isspace():
            if array is not None and (state := _state(array, "\n".join(lines), at)) is not None:
                found.append(state)
            array, lines = _ARRAY.match(line), []
        else:
            lines.append(line)
    return found


def _state(array: re.Match[str], below: str, at: Instant) -> RaidState | None:
    count = _COUNT.search(below)
    if array["state"] == "inactive" or count is None:
        return None
    words = array["rest"].split()
    level = next((word for word in words if word.startswith("raid")), "")
    members = list(_MEMBER.finditer(array["rest"]))
    progress, waits = _PROGRESS.search(below), _WAITS.search(below)
    doing = progress or waits
    wanted = int(count["wanted"])
    return RaidState(
        at=at,
        array=array["array"],
        level=level,
        members=wanted,
        missing=wanted - int(count["working"]),
        failed=tuple(sorted(one["name"] for one in members if "(F)" in one["flags"])),
        spares=tuple(sorted(one["name"] for one in members if "(S)" in one["flags"])),
        action=doing["action"] if doing else "idle",
        rebuilt_percent=float(progress["percent"]) if progress else None,
    )


MDSTAT = Path("/proc/mdstat")
