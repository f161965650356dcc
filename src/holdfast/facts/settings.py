"""What a site decides once, in /etc/holdfast/holdfast.toml; every default works."""

from msgspec import Struct

from holdfast.facts.definitions import HostRole
from holdfast.facts.guards import ProcessGuard
from holdfast.facts.mending import HandOver
from holdfast.facts.promises import Group
from holdfast.facts.settings_hardware import Hardware

DEFAULT_FILE = "/etc/holdfast/holdfast.toml"


class Webhook(Struct, frozen=True, kw_only=True):
    """`secret_file` holds the key of the HMAC signature; without it messages are not signed."""

    name: str
    url: str
    secret_file: str = ""
    heartbeat_s: float = 10.0


class Exec(Struct, frozen=True, kw_only=True):
    """A program that gets each alarm as JSON on its standard input."""

    name: str
    command: tuple[str, ...]
    timeout_s: float = 30.0


class Plane(Struct, frozen=True, kw_only=True):
    """A network over which pulses go; `address` is this host's own on it."""

    name: str
    address: str


class ControllerPlace(Struct, frozen=True, kw_only=True):
    """Where a controller is reached; `name` is its host's name.

    `address` is for links and the API (TLS), `planes` its address on each plane, for pulses.
    """

    name: str
    address: str
    planes: dict[str, str] = {}


class Settings(Struct, frozen=True, kw_only=True):
    """Sizes are bounds of what Holdfast writes on this host, in MiB."""

    file: str = DEFAULT_FILE  # Where this was read.
    host_name: str = ""  # Empty: the machine's own.
    state_dir: str = "/var/lib/holdfast"
    run_dir: str = "/run/holdfast"
    cache_dir: str = "/var/cache/holdfast"
    libvirt_uri: str = "qemu:///system"
    shared_paths: tuple[str, ...] = ()  # Folders that other hosts have too: NFS and such are known.
    rack: str = ""  # What fails together is one alarm: the rack, and the switch, of this host.
    switch: str = ""
    zone: str = ""  # Where VMs stay when they start elsewhere or move, unless their group says.
    roles: tuple[HostRole, ...] = (HostRole.COMPUTE,)
    planes: tuple[Plane, ...] = ()  # None: one host, whose pulses go over its loopback.
    controllers: tuple[ControllerPlace, ...] = ()  # None: the one on this host.
    api_port: int = 7310  # TCP: the HTTP API, and tokens of those who join.
    link_port: int = 7311  # TCP: agents dial controllers.
    pulse_port: int = 7312  # UDP: pulses to controllers.
    answer_port: int = 7313  # UDP: a host's pulse answers those who doubt that it lives.
    migration_port: int = 7314  # TCP: another host's agent, while a VM moves to this host.
    gasp_port: int = 0  # UDP: what hosts' kernels shout by netconsole when they panic. 0: none.
    kdump_port: int = 0  # UDP: what hosts that write a crash dump say by fence_kdump. 0: not heard.
    watchdog: str = "/dev/watchdog"  # Opened only while VMs here rely on a lease.
    tls_dir: str = "/etc/holdfast/tls"
    store: str = "sqlite"  # Or: etcd.
    etcd_endpoints: tuple[str, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    execs: tuple[Exec, ...] = ()
    groups: tuple[Group, ...] = ()
    processes: tuple[ProcessGuard, ...] = ()  # Guarded on this host.
    hardware: Hardware = Hardware()
    has_canaries: bool = False  # Frames of ours cross each bridge of the virtual switch.
    mends_vswitch: bool = False  # Flows are somebody else's: who wants it says so.
    vswitch_repairs_an_hour: int = 1  # Of one bridge; what goes a second time is meant.
    fence_after_s: float = 3.0  # A silent host is fenced after so long.
    brake_percent: int = 30  # When more hosts are silent at once, a person decides.
    hand_over: HandOver = HandOver.REPORT  # What is done about a host that cannot mend itself.
    host_losses: int = 1  # So many hosts may be lost at once, and all their VMs start elsewhere.
    recorder_mib: int = 1  # For each VM.
    last_words_mib: int = 512
    journal_mib: int = 64
    outbox_mib: int = 64

    @property
    def own_planes(self) -> dict[str, str]:
        """This host's own address on each plane, by the plane's name."""
        return {plane.name: plane.address for plane in self.planes}

    def place_of(self, host_name: str) -> ControllerPlace | None:
        """Where the controller on this host is reached; None: the settings name none there."""
        return next((one for one in self.controllers if one.name == host_name), None)
