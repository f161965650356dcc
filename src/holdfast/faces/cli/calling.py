"""One request to the API and its answer: over the controller's Unix socket, or over TLS."""

import contextlib
import http.client
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from holdfast.faces.cli.exits import Exit, Failure

OPEN_LIMIT_S = 3.0
ANSWER_LIMIT_S = 35.0
NOBODY_HERE = "no controller runs here"


class Away(Exception):
    """The program does not run, or does not answer; the text says which."""


class Place(Struct, frozen=True, kw_only=True):
    """Where the API is: the path of a socket, or host and port with what TLS needs."""

    socket: str = ""
    host: str = ""
    port: int = 0
    is_plain: bool = False  # http: for a tunnel of one's own; never by default.
    ca: str = ""
    certificate: str = ""
    key: str = ""
    token: str = ""

    def __str__(self) -> str:
        return self.socket or f"{self.host}:{self.port}"


class _ToSocket(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@contextlib.contextmanager
def connected(place: Place) -> Iterator[http.client.HTTPConnection]:
    """Raises Away, also for a connection that breaks while it is used, and Failure without the
    right."""
    connection = _connection(place)
    try:
        connection.connect()
        connection.sock.settimeout(ANSWER_LIMIT_S)
        yield connection
    except PermissionError:
        hint = "run this with sudo: only root may"
        raise Failure(f"you may not talk to the controller ({place})", hint, Exit.AWAY) from None
    except TimeoutError:
        raise Away("the controller does not answer") from None
    except (FileNotFoundError, ConnectionRefusedError):
        raise Away(_nobody(place)) from None
    except socket.gaierror as error:
        raise Away(f"{place.host} is not known here: {error.strerror}") from None
    except OSError as error:
        raise _broken(place, error) from None
    except http.client.HTTPException:
        raise Away("the controller ended while it was asked") from None
    finally:
        connection.close()


def call(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: Mapping[str, Any] | None = None,
) -> Any:
    """The data of the answer. Raises Failure for an error that was answered."""
    sent = None if body is None else msgspec.json.encode(body)
    connection.request(method, path, sent, {"Content-Type": "application/json", **headers})
    response = connection.getresponse()
    raw = response.read()
    if response.status >= 300:
        raise said_no(response.status, raw)
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise Failure(f"an answer is not understood: {error}", code=Exit.BROKEN) from None


def said_no(status: int, raw: bytes) -> Failure:
    """The API's error as the command line tells it."""
    try:
        told = msgspec.json.decode(raw)
        code = int(told.get("code") or Exit.REFUSED)
        return Failure(str(told["error"]), str(told.get("hint") or ""), code)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError):
        text = f"an answer is not understood: HTTP status {status}"
        return Failure(text, "is that the API of a controller?", Exit.BROKEN)


def _connection(place: Place) -> http.client.HTTPConnection:
    if place.socket:
        return _ToSocket(place.socket, OPEN_LIMIT_S)
    if place.is_plain:
        return http.client.HTTPConnection(place.host, place.port, timeout=OPEN_LIMIT_S)
    # Late: the socket of this host needs no TLS.
    import ssl

    try:
        context = ssl.create_default_context(cafile=place.ca or None)
        if place.certificate:
            context.load_cert_chain(place.certificate, place.key or None)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        files = ", ".join(filter(None, (place.ca, place.certificate, place.key)))
        raise Failure(f"these cannot be used for TLS: {files}: {reason}", code=Exit.USAGE) from None
    return http.client.HTTPSConnection(
        place.host, place.port, timeout=OPEN_LIMIT_S, context=context
    )


def _nobody(place: Place) -> str:
    return NOBODY_HERE if place.socket else f"no controller listens at {place}"


def _broken(place: Place, error: OSError) -> Exception:
    # Late: likewise.
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"{place} is not known to be a controller of this site: {error.verify_message}"
        return Failure(text, "name the site's CA: --ca FILE", Exit.REFUSED)
    if isinstance(error, ssl.SSLError):
        return Failure(f"{place} does not talk TLS with us: {error.reason}", "", Exit.REFUSED)
    if place.socket:
        return Away("the controller ended while it was asked")
    return Away(f"{place} cannot be reached: {error.strerror or error}")
