"""A guest's kernel panics, and tells so through pvpanic."""

from holdfast.lab.guests import Guest


def panic_guest(guest: Guest) -> int:
    """Make the guest's kernel panic; returns the ns of the instant just before."""
    return guest.begin(["/bin/sh", "-c", "echo c > /proc/sysrq-trigger"])
