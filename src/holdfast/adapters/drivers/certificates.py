"""A host's certificate opens its links and nothing else: TLS 1.3, both sides known, clear words."""

import contextlib
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from holdfast.adapters.drivers.private_folder import make_private_folder, sync_folder
from holdfast.ports import clock

CA, CA_KEY = "ca.crt", "ca.key"
CERTIFICATE, KEY = "host.crt", "host.key"
STORE_CA, STORE_CA_KEY = "store-ca.crt", "store-ca.key"
STORE_CERTIFICATE, STORE_KEY = "store.crt", "store.key"

ANEW = "join anew, on that host: holdfast leave --alone, then holdfast join"
# What OpenSSL says of a certificate, by its own numbers (X509_V_ERR_...), in our words.
_WORDS = {
    9: "certificate is not yet valid: is the clock of one of both wrong?",
    10: f"certificate has expired ({ANEW})",
    18: "certificate is none of this site (it signed itself)",
    19: "certificate is of another site: its CA is not ours",
    20: "certificate is of another site: its CA is not ours",
    21: "certificate is of another site: its CA is not ours",
    7: "certificate is of another site: its CA is not ours, or it was altered",
    62: "certificate is for another host",
    64: "certificate is for another host's address",
    26: "certificate is not for this use",
}
_ALERTS = {
    "PEER_DID_NOT_RETURN": "showed no certificate",
    "CERTIFICATE_REQUIRED": "asks for a certificate of this site, and none was shown",
    "CERTIFICATE_EXPIRED": f"says that our certificate has expired ({ANEW})",
    "CERTIFICATE_REVOKED": "says that our certificate is revoked",
    "UNKNOWN_CA": "says that our certificate is of another site",
    "BAD_CERTIFICATE": "does not accept our certificate",
    "DECRYPT_ERROR": "says that our certificate is of another site",
    "WRONG_VERSION_NUMBER": "does not speak TLS on this port",
    "PROTOCOL_VERSION": "does not speak TLS 1.3",
}


class CertificateProblem(Exception):
    """There is no certificate, or not the right one; the text says which, and what to do."""


class Peer(Struct, frozen=True, kw_only=True):
    """Who a certificate says that the other side is."""

    host: str
    host_name: str
    is_controller: bool
    serial: str
    ends_utc_ms: int
    names: tuple[str, ...] = ()


class Certificates:
    """What `tls_dir` holds. `revoked` are serials; whoever knows the store keeps it up to date."""

    def __init__(self, tls_dir: str | Path) -> None:
        """Raises CertificateProblem."""
        self._folder = Path(tls_dir)
        self._contexts: list[ssl.SSLContext] = []
        self.revoked: frozenset[str] = frozenset()
        self.me = read_certificate(self._folder / CERTIFICATE)
        self._client = self._made(ssl.PROTOCOL_TLS_CLIENT)
        self._loaded = self._age()

    @staticmethod
    def is_here(tls_dir: str | Path) -> bool:
        """False: this host joined no site; its programs speak over Unix sockets alone."""
        return (Path(tls_dir) / CERTIFICATE).exists()

    def server_context(self, *, required: bool = True) -> ssl.SSLContext:
        """For links: who has no certificate of the site gets no byte. Not `required`: the API."""
        context = self._made(ssl.PROTOCOL_TLS_SERVER)
        # A resumed session would skip the look at a certificate that was revoked meanwhile.
        context.num_tickets = 0
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        return context

    def client_context(self) -> ssl.SSLContext:
        """To dial a controller by a name or address that its certificate holds."""
        self.refresh()
        return self._client

    def host_context(self) -> ssl.SSLContext:
        """To dial another host, whose address no certificate holds: `check_host` says whether it
        is the right one, before anything is told to it."""
        context = self._made(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        return context

    def store_context(self) -> ssl.SSLContext:
        """To dial the store: its CA is another, of controllers only. Raises CertificateProblem."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        with _clear_words(self._folder):
            context.load_verify_locations(self._folder / STORE_CA)
            context.load_cert_chain(self._folder / STORE_CERTIFICATE, self._folder / STORE_KEY)
        return context

    def refresh(self) -> bool:
        """Take a renewed certificate into every context that was handed out."""
        age = self._age()
        if age == self._loaded:
            return False
        me = read_certificate(self._folder / CERTIFICATE)
        for context in self._contexts:
            self._load(context)
        self.me, self._loaded = me, age
        return True

    def own_problem(self) -> str:
        """Why nobody would let us in, or empty."""
        self.refresh()
        has_expired = self.me.ends_utc_ms <= clock.utc_ms()
        return f"this host's own certificate has expired ({ANEW})" if has_expired else ""

    def peer(self, ssl_object: Any) -> Peer:
        """Who is at the other end of a link. Raises CertificateProblem."""
        found = ssl_object.getpeercert() if ssl_object is not None else None
        if not found:
            raise CertificateProblem("no certificate was shown")
        peer = peer_of(found)
        if peer.serial in self.revoked:
            raise CertificateProblem(revoked_words(peer.host_name))
        if peer.ends_utc_ms <= clock.utc_ms():
            text = f"the certificate of {peer.host_name} has expired ({ANEW})"
            raise CertificateProblem(text)
        return peer

    def check_host(self, ssl_object: Any, host: str) -> Peer:
        """Nobody speaks for another host. Raises CertificateProblem."""
        peer = self.peer(ssl_object)
        if peer.host != host:
            raise CertificateProblem(
                f"host {host} shows the certificate of {peer.host_name} ({peer.host}):"
                " are two hosts' certificates swapped, or copied with a disk?"
            )
        return peer

    def check_controller(self, ssl_object: Any) -> Peer:
        """A host may not stand in for a controller. Raises CertificateProblem."""
        peer = self.peer(ssl_object)
        if not peer.is_controller:
            raise CertificateProblem(f"the certificate of {peer.host_name} is no controller's")
        return peer

    def _made(self, protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        with _clear_words(self._folder):
            context.load_verify_locations(self._folder / CA)
        self._load(context)
        self._contexts.append(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        with _clear_words(self._folder):
            context.load_cert_chain(self._folder / CERTIFICATE, self._folder / KEY)

    def _age(self) -> int:
        with _clear_words(self._folder):
            return (self._folder / CERTIFICATE).stat().st_mtime_ns


@contextlib.contextmanager
def _clear_words(folder: Path) -> Any:
    try:
        yield
    except FileNotFoundError:
        hint = "holdfast init, or holdfast join"
        raise CertificateProblem(
            f"files of this host's certificate lack in {folder}: {hint}"
        ) from None
    except ssl.SSLError as error:
        text = f"the certificate in {folder} cannot be used: {_own_reason(error)}"
        raise CertificateProblem(text) from None
    except OSError as error:
        raise CertificateProblem(f"{error.filename or folder}: {error.strerror}") from None


def read_certificate(path: Path) -> Peer:
    """Who a certificate on disk is for. Raises CertificateProblem."""
    with _clear_words(path.parent):
        path.open("rb").close()  # The reader below says of all that fails that it is damaged.
        # The one reader of a certificate's text that Python has; its tests stand on it as well.
        return peer_of(ssl._ssl._test_decode_cert(str(path)))  # type: ignore[attr-defined]  # noqa: SLF001


def peer_of(found: dict[str, Any]) -> Peer:
    """What Python's ssl shows of a certificate that it has verified."""
    said = dict(part for parts in found.get("subject", ()) for part in parts)
    return Peer(
        host=said.get("commonName", ""),
        host_name=said.get("organizationName", "") or said.get("commonName", ""),
        is_controller=said.get("organizationalUnitName") == "controller",
        serial=found["serialNumber"].lower().lstrip("0"),
        ends_utc_ms=int(ssl.cert_time_to_seconds(found["notAfter"])) * 1_000,
        names=tuple(value for _, value in found.get("subjectAltName", ())),
    )


def revoked_words(host_name: str) -> str:
    return f"the certificate of {host_name} is revoked"


def explain(error: BaseException, whom: str) -> str:
    """Why a link to `whom` did not come about, in a sentence."""
    if isinstance(error, CertificateProblem):
        return f"{whom}: {error}"
    if isinstance(error, ssl.SSLError):
        return f"{whom}: {_reason(error)}"
    if isinstance(error, TimeoutError):
        return f"{whom} does not answer"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {whom}"
    if isinstance(error, OSError):
        return f"{whom} is not reached: {error.strerror or error}"
    return f"{whom}: {error}"


def _own_reason(error: ssl.SSLError) -> str:
    """Of our own files: they do not fit together, or are no certificate and key at all."""
    if _code(error) == "KEY_VALUES_MISMATCH":
        return f"{KEY} is not its key ({ANEW})"
    return f"a file of it is damaged ({ANEW})"


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        words = _WORDS.get(error.verify_code)
        return f"its {words}" if words else f"its certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError):
        return "it broke off while both showed their certificates; its log says why"
    reason = _code(error) or str(error)
    for alert, words in _ALERTS.items():
        if alert in reason:
            return f"it {words}"
    return f"TLS failed ({reason.lower().replace('_', ' ')})"


def _code(error: ssl.SSLError) -> str:
    """OpenSSL's word for it. Python gives none to what it found wrong by itself."""
    return getattr(error, "reason", None) or ""


def write_private(path: Path, text: str, owner: Callable[[int], None] | None = None) -> None:
    """A file that only root reads, whole or not at all, and on the disk when this returns."""
    make_private_folder(path.parent)
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
        file.flush()
        if owner is not None:
            owner(file.fileno())
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)
