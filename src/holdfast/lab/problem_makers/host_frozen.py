"""A host freezes: no process of it runs, though its kernel still answers the network."""

from holdfast.lab.hosts import Host


def freeze_host(host: Host) -> int:
    """Freeze the host; returns the ns of the instant just before."""
    return host.freeze()


def thaw_host(host: Host) -> int:
    """Let it run on, as if no time had passed; returns the ns of the instant just before."""
    return host.thaw()
