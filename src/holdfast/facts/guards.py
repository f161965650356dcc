"""Which processes of a host are guarded: how each is found, probed and begun again."""

from msgspec import Struct
from msgspec.structs import replace

LIBVIRT = "libvirt"  # Its own sensor and detector watch it: a guard of this name only mends it.


class ProcessGuard(Struct, frozen=True, kw_only=True):
    """One process by its `name`. It is found by the first of `units` that is there (systemd), or
    by a pid file, a control group, or its program and words among its arguments.

    `probe` is a program that says by its code whether it serves; `probe_socket` a Unix socket that
    speaks OVSDB's protocol and is sent an echo. `restart` is a program that begins it again where
    no unit does. While `end_mark` is there somebody stopped it on purpose.
    """

    name: str
    units: tuple[str, ...] = ()
    pid_file: str = ""
    cgroup: str = ""
    program: str = ""
    args: tuple[str, ...] = ()
    probe: tuple[str, ...] = ()
    probe_socket: str = ""
    probe_every_s: float = 5.0
    probe_limit_s: float = 3.0
    restart: tuple[str, ...] = ()
    repair: bool = True
    hand_over_s: float = 60.0
    repairs_an_hour: int = 3
    needs: tuple[str, ...] = ()
    end_mark: str = ""

    @property
    def has_probe(self) -> bool:
        return bool(self.probe or self.probe_socket)

    @property
    def is_found(self) -> bool:
        """Whether anything says how to find it."""
        return bool(self.units or self.pid_file or self.cgroup or self.program)


# What has such a name need not be described: a line [process.NAME] is enough.
READY_MADE: dict[str, ProcessGuard] = {
    one.name: one
    for one in (
        ProcessGuard(
            name=LIBVIRT,
            units=("virtqemud.service", "libvirtd.service"),
            pid_file="/run/libvirtd.pid",
        ),
        ProcessGuard(name="virtlogd", units=("virtlogd.service",), pid_file="/run/virtlogd.pid"),
        ProcessGuard(name="virtlockd", units=("virtlockd.service",), pid_file="/run/virtlockd.pid"),
        ProcessGuard(
            name="nova-compute",
            units=("nova-compute.service", "openstack-nova-compute.service"),
            program="nova-compute",
            needs=(LIBVIRT,),
        ),
        ProcessGuard(
            name="ovsdb-server",
            units=("ovsdb-server.service",),
            pid_file="/run/openvswitch/ovsdb-server.pid",
            probe_socket="/run/openvswitch/db.sock",
            probe_every_s=0.2,
            probe_limit_s=0.6,
        ),
        ProcessGuard(
            name="ovs-vswitchd",
            units=("ovs-vswitchd.service",),
            pid_file="/run/openvswitch/ovs-vswitchd.pid",
            needs=("ovsdb-server",),
        ),
        ProcessGuard(name="holdfast-pulse", units=("holdfast-pulse.service",)),
    )
}


def make_guard(name: str, **values: object) -> ProcessGuard:
    """A ready-made one with what the settings say instead. Raises ValueError with the rest of a
    sentence where nothing says how to find it."""
    ready = READY_MADE.get(name)
    guard = replace(ready or ProcessGuard(name=name), **values)
    if not guard.is_found:
        known = ", ".join(sorted(READY_MADE))
        raise ValueError(
            f"needs unit, pid_file, cgroup or program to be found by; ready-made are {known}"
        )
    if name in guard.needs:
        raise ValueError("cannot need itself")
    return guard
