"""A site signs its own certificates: hosts' and controllers', for a year, under a CA for ten.

What a certificate says: CN is the host id, O the host's name, OU `controller` where it is one;
its alternative names are the host's name and addresses. Only this file loads `cryptography`.
"""

import datetime as dt
import hashlib
import ipaddress
import ssl
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CONTROLLER_UNIT = "controller"
CA_DAYS = 3_650
HOST_DAYS = 365
# Clocks of a site differ a little: what was signed just now holds already on all of them.
CLOCK_SLACK = dt.timedelta(minutes=5)
DAY_S = 86_400


class NotSigned(Exception):
    """A request that is not signed; the text says why."""


@dataclass(frozen=True)
class Subject:
    """Whom a certificate is for."""

    host: str
    host_name: str
    addresses: tuple[str, ...] = ()
    is_controller: bool = False


@dataclass(frozen=True)
class Signed:
    """A certificate as PEM, with what the site's list says of it."""

    pem: str
    serial: str
    ends_utc_ms: int


@dataclass(frozen=True)
class Authority:
    """A CA: its certificate, and the key that only controllers hold. Both PEM."""

    certificate: str
    key: str

    @classmethod
    def make(cls, name: str) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = _now()
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SLACK)
            .not_valid_after(now + dt.timedelta(days=CA_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(_key_id(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(_pem(made), _key_pem(key))

    def sign(self, request: str, subject: Subject, valid_s: int = HOST_DAYS * DAY_S) -> Signed:
        """A certificate for a request's key; who it is for is ours to say. Raises NotSigned."""
        try:
            wanted = x509.load_pem_x509_csr(request.encode())
            is_owner = wanted.is_signature_valid
            public = wanted.public_key()
        except (ValueError, InvalidSignature, UnicodeEncodeError) as error:
            raise NotSigned(f"it is no request for a certificate: {error}") from None
        if not is_owner or not isinstance(public, ec.EllipticCurvePublicKey):
            raise NotSigned("it is not signed with its own key, or that is no elliptic curve's")
        return self._sign(public, subject, valid_s)

    def _sign(self, public: ec.EllipticCurvePublicKey, subject: Subject, valid_s: int) -> Signed:
        issuer = x509.load_pem_x509_certificate(self.certificate.encode())
        key = serialization.load_pem_private_key(self.key.encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        now, serial = _now(), x509.random_serial_number()
        ends = min(now + dt.timedelta(seconds=valid_s), issuer.not_valid_after_utc)
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        made = (
            x509.CertificateBuilder()
            .subject_name(_name_of(subject))
            .issuer_name(issuer.subject)
            .public_key(public)
            .serial_number(serial)
            .not_valid_before(min(now, ends) - CLOCK_SLACK)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.SubjectAlternativeName(_names(subject)), critical=False)
            .add_extension(_issuer_id(issuer), critical=False)
            .sign(key, hashes.SHA256())
        )
        return Signed(_pem(made), f"{serial:x}", int(ends.timestamp() * 1_000))


def make_key_and_request() -> tuple[str, str]:
    """A host's own key, which never leaves it, and the request to have it signed. Both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return _key_pem(key), make_request(_key_pem(key))


def make_request(key_pem: str) -> str:
    """The request to have a key signed that is there already."""
    key = serialization.load_pem_private_key(key_pem.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    empty = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return empty.sign(key, hashes.SHA256()).public_bytes(_PEM).decode()


def fingerprint(certificate_pem: str) -> str:
    """SHA-256 of a certificate, in hex. Raises ValueError."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate_pem.strip())).hexdigest()


_PEM = serialization.Encoding.PEM


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(_PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _key_id(public: ec.EllipticCurvePublicKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(public)


def _issuer_id(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)


def _name_of(subject: Subject) -> x509.Name:
    parts = [
        x509.NameAttribute(NameOID.COMMON_NAME, subject.host),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, subject.host_name[:64]),
    ]
    if subject.is_controller:
        unit = x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, CONTROLLER_UNIT)
        parts.append(unit)
    return x509.Name(parts)


def _names(subject: Subject) -> Iterable[x509.GeneralName]:
    found: list[x509.GeneralName] = [x509.DNSName(subject.host_name)]
    if subject.host_name != "localhost":
        found.append(x509.DNSName("localhost"))
    addresses = dict.fromkeys([*subject.addresses, "127.0.0.1"])
    return [*found, *(x509.IPAddress(ipaddress.ip_address(one)) for one in addresses)]
