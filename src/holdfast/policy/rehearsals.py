"""Whether a host could be fenced now, as its newest rehearsal says, and when the next is due."""

import zlib

from holdfast.facts.fencing import FenceDevice, HostFencing, Rehearsal

DAY_MS = 86_400_000
AGAIN_MS = 3_600_000  # One that went wrong: so that what was mended is seen soon.
OLD_MS = 2 * DAY_MS
assert DAY_MS // 2 + DAY_MS + AGAIN_MS < OLD_MS, "none grows old while the leader rehearses"


def why_not_fenceable(fencing: HostFencing, rehearsal: Rehearsal | None, utc_ms: int) -> str:
    """The first reason why nobody can count on it, or empty: it could be switched off now."""
    if not fencing.devices:
        return "it has no fence device"
    if rehearsal is None:
        return "its fence devices have not been rehearsed yet"
    if not rehearsal.is_well:
        return "; ".join(f"{one.agent}: {one.said}" for one in rehearsal.devices)
    if utc_ms - rehearsal.utc_ms > OLD_MS:
        return "its newest rehearsal is older than two days"
    return ""


def what_helps(host_name: str, devices: tuple[FenceDevice, ...]) -> str:
    """What to type about a host that cannot be fenced."""
    if not devices:
        return f"holdfast fence set {host_name} AGENT --option ip=ADDRESS --secret password"
    return f"holdfast fence rehearse {host_name}"


def is_due(host: str, rehearsal: Rehearsal | None, utc_ms: int) -> bool:
    """Once a day, each host at a time of its own; a ladder that is new at once."""
    if rehearsal is None or rehearsal.utc_ms > utc_ms:
        return True  # Of a clock that was set back it is not known when it was.
    return utc_ms >= _next_utc_ms(host, rehearsal)


def _next_utc_ms(host: str, rehearsal: Rehearsal) -> int:
    if not rehearsal.is_well:
        return rehearsal.utc_ms + AGAIN_MS
    earliest = rehearsal.utc_ms + DAY_MS // 2
    own = zlib.crc32(host.encode()) % DAY_MS
    return earliest + (own - earliest) % DAY_MS
