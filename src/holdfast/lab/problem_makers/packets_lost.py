"""A part of a host's packets is lost, one way only, on every plane."""

from holdfast.lab.cables import EVERY_PLANE, Loss, Way, cut, mend
from holdfast.lab.hosts import Host


def lose_packets(host: Host, percent: int, way: Way) -> int:
    """Lose so many of a hundred; returns the ns of the instant just before."""
    return cut(host, EVERY_PLANE, way, Loss(percent=percent))


def lose_none(host: Host) -> int:
    """Let all through again; returns the ns of the instant just before."""
    return mend(host)
