"""The words of a pulse: the layers of a host, how each of them is, and what the host plans.

Standard library only: the pulse and the ear read no more than they need.
"""

from enum import StrEnum


class Layer(StrEnum):
    """What a pulse carries a word about."""

    AGENT = "agent"
    LIBVIRT = "libvirt"
    SWITCH = "switch"
    STORAGE = "storage"


class LayerState(StrEnum):
    """`stale`: its watcher has said nothing for too long, so that nobody knows."""

    UNKNOWN = "unknown"
    WELL = "well"
    ILL = "ill"
    STALE = "stale"
    RESTARTING = "restarting"  # On purpose: it said so, and for how long at most.
    STOPPED = "stopped"  # On purpose.


class Plan(StrEnum):
    """What a host says before it falls silent on purpose."""

    NONE = "none"
    PULSE_RESTARTS = "pulse-restarts"
    HOST_STOPS = "host-stops"  # Shutdown or reboot, ordered by a person.
