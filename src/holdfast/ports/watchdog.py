"""A host's watchdog: hardware that resets the host when nobody pets it in time."""

from typing import Protocol


class WatchdogRefused(Exception):
    """There is none, somebody else has it, or it does not keep the time asked for: a sentence."""


class Watchdog(Protocol):
    """One process has it open at a time. Opened, it runs on though that process ends."""

    def open(self, timeout_ms: int) -> int:
        """Start it, or take it over from a process that ended; returns the time-out that it keeps,
        as it was read back. Raises WatchdogRefused where that is longer than asked for."""
        ...

    def pet(self) -> None:
        """Nothing is raised: a watchdog that cannot be petted bites."""
        ...

    def close(self) -> None:
        """Stop it: from now on nobody needs to pet it. Where it cannot be stopped it bites."""
        ...
