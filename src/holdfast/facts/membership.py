"""What a site's store knows of those who belong to it: tokens, certificates, controllers."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from holdfast.facts.settings import ControllerPlace, Settings

CLIENT_PORT, PEER_PORT = 2379, 2380  # etcd's own.
JOINS, CERTIFICATES, CONTROLLERS = "joins", "certificates", "controllers"
KINDS_OF_SITE = (JOINS, CERTIFICATES, CONTROLLERS)


class JoinToken(Struct, frozen=True, kw_only=True):
    """A word that lets one host join, once. Only the hash of its secret is kept."""

    id: str
    secret_sha256: str
    is_controller: bool
    made_utc_ms: int
    until_utc_ms: int
    made_by: str = ""
    used_by: str = ""
    used_utc_ms: int = 0
    revoked_utc_ms: int = 0


class Issued(Struct, frozen=True, kw_only=True):
    """A certificate that the site signed. The host id is its CN, the serial is in hex."""

    serial: str
    host: str
    host_name: str
    is_controller: bool
    addresses: tuple[str, ...]
    made_utc_ms: int
    ends_utc_ms: int
    revoked_utc_ms: int = 0
    reason: str = ""
    revoked_by: str = ""


class SitePlan(Struct, frozen=True, kw_only=True):
    """What every host of a site has in its settings alike; `planes` are names."""

    controllers: tuple[ControllerPlace, ...]
    planes: tuple[str, ...]
    store: str
    etcd_endpoints: tuple[str, ...] = ()
    api_port: int = 7310
    link_port: int = 7311
    pulse_port: int = 7312
    answer_port: int = 7313
    gasp_port: int = 0
    kdump_port: int = 0


class StoreMember(Struct, frozen=True, kw_only=True):
    """One etcd: `is_learner` copies what the others know, and has no vote yet."""

    name: str
    peer_url: str
    id: str = ""
    is_learner: bool = False


def site_plan(settings: Settings, controllers: Sequence[ControllerPlace], store: str) -> SitePlan:
    """The plan of a site whose hosts use the ports and planes that this one does."""
    return SitePlan(
        controllers=tuple(controllers),
        planes=tuple(settings.own_planes),
        store=store,
        etcd_endpoints=store_endpoints(controllers) if store == "etcd" else (),
        api_port=settings.api_port,
        link_port=settings.link_port,
        pulse_port=settings.pulse_port,
        answer_port=settings.answer_port,
        gasp_port=settings.gasp_port,
        kdump_port=settings.kdump_port,
    )


def store_endpoints(controllers: Iterable[ControllerPlace]) -> tuple[str, ...]:
    """The etcd of each, for programs that ask the store."""
    return tuple(client_url(place.address) for place in controllers)


def client_url(address: str) -> str:
    """Where programs reach the etcd of a controller."""
    return _url(address, CLIENT_PORT)


def peer_url(address: str) -> str:
    """Where the etcd of a controller is reached by the others."""
    return _url(address, PEER_PORT)


def _url(address: str, port: int) -> str:
    return f"https://[{address}]:{port}" if ":" in address else f"https://{address}:{port}"
