"""A controller on another machine: its URL, the token that is shown there, and the site's CA."""

import os
import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from holdfast.faces.cli.calling import Place
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.services import is_controller_here
from holdfast.faces.cli.settings import Site
from holdfast.faces.cli.small_files import read_named

PORT = 7310
CONNECT_LIMIT_S = 1.0
TOKEN = "HOLDFAST_TOKEN"


def place_elsewhere(site: Site) -> Place | None:
    """None where no URL was given: then this host is meant. Raises Failure."""
    if not site.url:
        return None
    parts, port = urlsplit(""), 0
    with suppress(ValueError):  # Brackets that do not close, or a port that is no number.
        parts = urlsplit(site.url)
        port = parts.port or PORT
    if parts.scheme not in ("https", "http") or not parts.hostname or not port:
        hint = f"write it like https://controller-1:{PORT}"
        raise Failure(f"{site.url!r} is no address of a controller", hint, Exit.USAGE)
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        hint = "use https; http is only for the end of a tunnel on this host"
        raise Failure("a token is not sent where everybody can read it", hint, Exit.USAGE)
    return Place(
        host=parts.hostname,
        port=port,
        is_plain=parts.scheme == "http",
        ca=site.ca or _ca_of_the_site(site),
        token=_token(site),
    )


def place_of_the_site(site: Site) -> Place | None:
    """A host that is no controller asks one of its site, with its own certificate: it may see."""
    settings = site.settings
    own = settings.host_name or socket.gethostname()
    if is_controller_here(settings, own):
        return None
    folder = Path(settings.tls_dir)
    if not os.access(folder / "host.key", os.R_OK):
        return None
    addresses = [place.address for place in settings.controllers]
    return Place(
        host=next((a for a in addresses if _listens(a, settings.api_port)), addresses[0]),
        port=settings.api_port,
        ca=str(folder / "ca.crt"),
        certificate=str(folder / "host.crt"),
        key=str(folder / "host.key"),
    )


def _listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), CONNECT_LIMIT_S).close()
    except OSError:
        return False
    return True


def _token(site: Site) -> str:
    if not site.token_file:
        return os.environ.get(TOKEN, "").strip()
    return read_named(site.token_file).strip()


def _ca_of_the_site(site: Site) -> str:
    """Where this machine is a host of a site, that site's."""
    path = Path(site.settings.tls_dir) / "ca.crt"
    return str(path) if path.exists() else ""
