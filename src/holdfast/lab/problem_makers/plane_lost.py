"""A host loses one of its planes, in silence: its link stays up."""

from holdfast.lab.cables import cut, mend
from holdfast.lab.hosts import Host


def lose_plane(host: Host, plane: str) -> int:
    """Lose every packet of the host on this plane; returns the ns of the instant just before."""
    return cut(host, [plane])


def restore_plane(host: Host, plane: str) -> int:
    """Let its packets through again; returns the ns of the instant just before."""
    return mend(host, [plane])
