"""Ways to break one host of a site, what must be said of each, and how it is mended."""

from collections.abc import Callable
from dataclasses import dataclass

from holdfast.lab.drills.site_stage import SiteStage
from holdfast.lab.hosts import Host
from holdfast.lab.problem_makers.host_cut_off import cut_off, cut_off_from, join_again
from holdfast.lab.problem_makers.host_frozen import freeze_host, thaw_host
from holdfast.lab.problem_makers.host_power_cut import cut_power
from holdfast.lab.problem_makers.plane_lost import lose_plane, restore_plane
from holdfast.lab.problem_makers.program_killed import kill_program


@dataclass(frozen=True)
class Breakage:
    """One way to break a host. `first`: any of these conditions must come at once.

    `named` must come too, in time: what it is called once others were asked. `beside` are what
    else may truly be said of the host meanwhile.
    """

    inject: Callable[[SiteStage, Host], int]
    mend: Callable[[SiteStage, Host], object]
    first: tuple[str, ...]
    named: str
    beside: tuple[str, ...] = ()
    title: str = ""


def mend_power(_: SiteStage, host: Host) -> None:
    """Boot it: its services start by themselves."""
    host.power_on()


LOST = Breakage(
    title="power cut",
    inject=lambda _, host: cut_power(host),
    mend=mend_power,
    # The kernel answers for a dead host until its cable is out: on a busy machine, too long.
    first=("host-lost", "host-frozen"),
    named="host-lost",
)
FROZEN = Breakage(
    title="frozen",
    inject=lambda _, host: freeze_host(host),
    mend=lambda _, host: thaw_host(host),
    first=("host-lost", "host-frozen"),
    named="host-frozen",
    beside=("agent-away",),
)
CUT_OFF = Breakage(
    title="from all",
    inject=lambda _, host: cut_off(host),
    mend=lambda _, host: join_again(host),
    first=("host-lost",),
    named="host-lost",
    beside=("agent-away", "host-plane-lost"),
)
CUT_OFF_FROM_LEADER = Breakage(
    title="from the leader only",
    inject=lambda site, host: cut_off_from(host, [site.leader()]),
    mend=lambda _, host: join_again(host),
    first=("host-lost", "host-cut-off"),
    named="host-cut-off",
    beside=("agent-away", "host-plane-lost"),
)
PLANES_LOST = tuple(
    Breakage(
        title=f"plane {plane}",
        inject=lambda _, host, plane=plane: lose_plane(host, plane),  # type: ignore[misc]
        mend=lambda _, host, plane=plane: restore_plane(host, plane),  # type: ignore[misc]
        first=("host-plane-lost",),
        named="host-plane-lost",
        beside=("agent-away",),
    )
    for plane in ("a", "b")
)
AGENT_KILLED = Breakage(
    title="killed",
    inject=lambda site, host: kill_program(site.find_program(host, "agent")),
    mend=lambda *_: None,  # Whoever keeps it has started it anew.
    first=("agent-away",),
    named="agent-away",
)
