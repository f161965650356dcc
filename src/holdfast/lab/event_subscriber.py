"""Prints what libvirt says of a host's guests, one JSON object a line, as a plain client hears it.

Run on a lab host. The first line says that it listens; times are CLOCK_MONOTONIC ns.
"""

import json
import time
from typing import Any

import libvirt
import libvirt_qemu

# libvirt's numbers for lifecycle events are their places in this list.
LIFECYCLE = (
    *("defined", "undefined", "started", "suspended", "resumed"),
    *("stopped", "shutdown", "pmsuspended", "crashed"),
)


def say(guest: str, word: str, detail: Any, age_ns: int = 0) -> None:
    """Print one event; its age is by whoever said it first."""
    at_ns = time.monotonic_ns()
    line = {"at_ns": at_ns, "said_ns": at_ns - age_ns, "guest": guest, "word": word}
    print(json.dumps({**line, "detail": detail}), flush=True)


def on_lifecycle(_: Any, domain: Any, event: int, detail: int, __: Any) -> None:
    """A verdict of libvirt itself, such as `stopped` with detail 5 (failed)."""
    say(domain.name(), LIFECYCLE[event], detail)


def on_monitor_event(
    _: Any, domain: Any, event: str, seconds: int, micros: int, details: str | None, __: Any
) -> None:
    """QEMU's words as they are, such as GUEST_PANICKED; it stamps them by the wall clock."""
    age_ns = time.time_ns() - (seconds * 1_000_000 + micros) * 1_000
    say(domain.name(), event, json.loads(details) if details else None, age_ns)


def main() -> None:
    """Subscribe and print for ever."""
    libvirt.virEventRegisterDefaultImpl()
    connection = libvirt.open("qemu:///system")
    connection.domainEventRegisterAny(
        None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_lifecycle, None
    )
    libvirt_qemu.qemuMonitorEventRegister(connection, None, None, on_monitor_event, None, 0)
    say("", "listening", None)
    while True:
        libvirt.virEventRunDefaultImpl()


if __name__ == "__main__":
    main()
