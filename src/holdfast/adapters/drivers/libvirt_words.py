"""libvirt's numbers in libvirt's own words, without loading libvirt. Source: libvirt-domain.h."""

EVENTS = "defined undefined started suspended resumed stopped shutdown pmsuspended crashed".split()
DETAILS = {
    "defined": ("added", "updated", "renamed", "from_snapshot"),
    "undefined": ("removed", "renamed"),
    "started": ("booted", "migrated", "restored", "from_snapshot", "wakeup"),
    "suspended": (
        "paused",
        "migrated",
        "ioerror",
        "watchdog",
        "restored",
        "from_snapshot",
        "api_error",
        "postcopy",
        "postcopy_failed",
    ),
    "resumed": ("unpaused", "migrated", "from_snapshot", "postcopy", "postcopy_failed"),
    "stopped": (
        "shutdown",
        "destroyed",
        "crashed",
        "migrated",
        "saved",
        "failed",
        "from_snapshot",
    ),
    "shutdown": ("finished", "guest", "host"),
    "pmsuspended": ("memory", "disk"),
    "crashed": ("panicked", "crashloaded"),
}
STATES = (
    "no state",
    "running",
    "idle",
    "paused",
    "in shutdown",
    "shut off",
    "crashed",
    "pmsuspended",
)
_SHUT_OFF = (
    "unknown",
    "shutdown",
    "destroyed",
    "crashed",
    "migrated",
    "saved",
    "failed",
    "from snapshot",
    "daemon",
)
_PAUSED = (
    "unknown",
    "user",
    "migrating",
    "saving",
    "dumping",
    "I/O error",
    "watchdog",
    "from snapshot",
    "shutting down",
    "creating snapshot",
    "crashed",
    "starting up",
    "post-copy",
    "post-copy failed",
)
_RUNNING = (
    "unknown",
    "booted",
    "migrated",
    "restored",
    "from snapshot",
    "unpaused",
    "migration canceled",
    "save canceled",
    "event wakeup",
    "crashed",
    "post-copy",
    "post-copy failed",
)
_REASONS = {
    "running": _RUNNING,
    "shut off": _SHUT_OFF,
    "paused": _PAUSED,
    "crashed": ("unknown", "panicked"),
}


def spoken_event(event: int, detail: int) -> tuple[str, str]:
    name = EVENTS[event] if event < len(EVENTS) else f"event {event}"
    return name, _word(DETAILS.get(name, ()), detail)


def is_known(event: str, detail: str) -> bool:
    """Whether libvirt's header that we know has names for both."""
    return detail in DETAILS.get(event, ())


def spoken_state(state: int, reason: int) -> tuple[str, str]:
    """As `virsh domstate --reason` says it."""
    name = STATES[state] if state < len(STATES) else f"state {state}"
    return name, _word(_REASONS.get(name, ()), reason)


def _word(words: tuple[str, ...], number: int) -> str:
    return words[number] if 0 <= number < len(words) else str(number)
