"""A host loses power: everything on it is dead at once, and its /run is empty at the next boot."""

from holdfast.lab.hosts import Host


def cut_power(host: Host) -> int:
    """Cut the host's power; returns the ns of the instant just before. `host.power_on()` boots."""
    return host.power_cut()
