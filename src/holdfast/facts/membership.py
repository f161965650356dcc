"""What a site's store knows of those who belong to it: tokens, certificates, controllers."""

from msgspec import Struct

from holdfast.facts.settings import ControllerPlace

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


class StoreMember(Struct, frozen=True, kw_only=True):
    """One etcd: `is_learner` copies what the others know, and has no vote yet."""

    name: str
    peer_url: str
    id: str = ""
    is_learner: bool = False
