"""A host is cut off: from all others, or from some only, while it and its VMs run on."""

from collections.abc import Sequence

from holdfast.lab.cables import cut, cut_between, mend
from holdfast.lab.hosts import Host


def cut_off(host: Host) -> int:
    """Cut the host off on every plane; returns the ns of the instant just before."""
    return cut(host)


def cut_off_from(host: Host, others: Sequence[Host]) -> int:
    """Let the host and these not hear each other; the rest hears it as before."""
    return cut_between([host], others)


def join_again(host: Host) -> int:
    """Let it hear and be heard; returns the ns of the instant just before."""
    return mend(host)
