"""Who has the right certificate is let in, and who has not is told why, in words."""

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.adapters.drivers.authority import Authority, NotSigned, Subject, make_key_and_request
from holdfast.adapters.drivers.certificates import (
    CertificateProblem,
    Certificates,
    explain,
    write_private,
)

LIMIT_S = 10.0
HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.make("a site")


def host(
    folder: Path,
    authority: Authority,
    name: str,
    *,
    is_controller: bool = False,
    valid_s: int = 3_600,
    addresses: tuple[str, ...] = (),
) -> Certificates:
    """A host's own folder, with a certificate of this CA in it."""
    key, request = make_key_and_request()
    subject = Subject(
        host=f"id-{name}", host_name=name, addresses=addresses, is_controller=is_controller
    )
    write_private(folder / name / "ca.crt", authority.certificate)
    write_private(folder / name / "host.key", key)
    write_private(folder / name / "host.crt", authority.sign(request, subject, valid_s).pem)
    return Certificates(folder / name)


@contextlib.contextmanager
def answering(context: ssl.SSLContext) -> Iterator[tuple[int, list[object]]]:
    """A server that takes one link, and keeps what it saw: the link, or why there is none."""
    seen: list[object] = []
    with socket.create_server((HERE, 0)) as door:
        door.settimeout(LIMIT_S)

        def take() -> None:
            raw, _ = door.accept()
            with raw:
                raw.settimeout(LIMIT_S)
                try:
                    with context.wrap_socket(raw, server_side=True) as link:
                        seen.extend([link.getpeercert(), link.version()])
                        link.sendall(b"hello")
                        link.recv(1)
                except OSError as error:
                    seen.append(error)

        taker = threading.Thread(target=take)
        taker.start()
        try:
            yield door.getsockname()[1], seen
        finally:
            taker.join(LIMIT_S)


def dial(context: ssl.SSLContext, port: int, name: str = HERE) -> bytes:
    """What the server says. In TLS 1.3 a refusal comes only with the first read."""
    with (
        socket.create_connection((HERE, port), LIMIT_S) as raw,
        context.wrap_socket(raw, server_hostname=name) as link,
    ):
        return link.recv(5)


def why_not(server: Certificates, client: ssl.SSLContext, name: str = HERE) -> tuple[str, str]:
    """What the one who dials reads, and what the server does."""
    with answering(server.server_context()) as (port, seen), pytest.raises(ssl.SSLError) as caught:
        dial(client, port, name)
    refused = next((one for one in seen if isinstance(one, OSError)), None)
    return explain(caught.value, "h1"), explain(refused, "h4") if refused else ""


def test_both_sides_know_each_other(tmp_path: Path, authority: Authority) -> None:
    server = host(tmp_path, authority, "h1", is_controller=True)
    client = host(tmp_path, authority, "h4")
    with answering(server.server_context()) as (port, seen):
        assert dial(client.client_context(), port) == b"hello"
    assert seen[1] == "TLSv1.3"
    peer = server.check_host(_Shown(seen[0]), "id-h4")
    assert (peer.host_name, peer.is_controller) == ("h4", False)
    assert server.me.is_controller


class _Shown:
    """A link of which only the certificate is looked at."""

    def __init__(self, found: object) -> None:
        self._found = found

    def getpeercert(self) -> object:
        return self._found


def shown(server: Certificates, client: Certificates) -> _Shown:
    with answering(server.server_context()) as (port, seen):
        dial(client.client_context(), port)
    return _Shown(seen[0])


def test_without_a_certificate_one_gets_nothing(tmp_path: Path, authority: Authority) -> None:
    server = host(tmp_path, authority, "h1", is_controller=True)
    bare = ssl.create_default_context(cadata=authority.certificate)
    read, done = why_not(server, bare)
    assert read == "h1: it asks for a certificate of this site, and none was shown"
    assert done == "h4: it showed no certificate"


def test_an_expired_certificate_is_refused_in_words(tmp_path: Path, authority: Authority) -> None:
    server = host(tmp_path, authority, "h1", is_controller=True)
    client = host(tmp_path, authority, "h4", valid_s=-60)
    read, done = why_not(server, client.client_context())
    assert "our certificate has expired" in read
    assert "holdfast join" in read
    assert "own certificate has expired" in client.own_problem()
    assert server.own_problem() == ""
    assert "its certificate has expired" in done


def test_a_controller_whose_certificate_expired_is_named(
    tmp_path: Path, authority: Authority
) -> None:
    server = host(tmp_path, authority, "h1", is_controller=True, valid_s=-60)
    client = host(tmp_path, authority, "h4")
    read, _ = why_not(server, client.client_context())
    assert read.startswith("h1: its certificate has expired")


def test_another_site_is_refused_on_both_sides(tmp_path: Path, authority: Authority) -> None:
    other = Authority.make("another site")
    server = host(tmp_path, authority, "h1", is_controller=True)
    stranger = host(tmp_path, other, "x4")
    read, _ = why_not(server, stranger.client_context())
    assert read == "h1: its certificate is of another site: its CA is not ours"
    trusting = stranger.client_context()
    trusting.load_verify_locations(cadata=authority.certificate)
    read, done = why_not(server, trusting)
    assert "says that our certificate is of another site" in read
    assert "of another site" in done


def test_the_wrong_address_is_refused(tmp_path: Path, authority: Authority) -> None:
    server = host(tmp_path, authority, "h1", is_controller=True)
    client = host(tmp_path, authority, "h4")
    read, _ = why_not(server, client.client_context(), name="10.9.9.9")
    assert read == "h1: its certificate is for another host's address"
    read, _ = why_not(server, client.client_context(), name="h2")
    assert read == "h1: its certificate is for another host"


def test_swapped_certificates_open_nothing(tmp_path: Path, authority: Authority) -> None:
    server = host(tmp_path, authority, "h1", is_controller=True)
    client = host(tmp_path, authority, "h4")
    with pytest.raises(CertificateProblem, match=r"id-h5 shows the certificate of h4.*swapped"):
        server.check_host(shown(server, client), "id-h5")


def test_a_host_may_not_stand_in_for_a_controller(tmp_path: Path, authority: Authority) -> None:
    fake = host(tmp_path, authority, "h4")
    client = host(tmp_path, authority, "h5")
    with pytest.raises(CertificateProblem, match="the certificate of h4 is no controller's"):
        client.check_controller(shown(client, fake))


def test_a_revoked_certificate_opens_nothing(tmp_path: Path, authority: Authority) -> None:
    server = host(tmp_path, authority, "h1", is_controller=True)
    client = host(tmp_path, authority, "h4")
    link = shown(server, client)
    assert server.peer(link).host_name == "h4"
    server.revoked = frozenset({client.me.serial})
    with pytest.raises(CertificateProblem, match="the certificate of h4 is revoked"):
        server.peer(link)


def test_a_renewed_certificate_serves_without_a_restart(
    tmp_path: Path, authority: Authority
) -> None:
    server = host(tmp_path, authority, "h1", is_controller=True)
    client = host(tmp_path, authority, "h4", valid_s=-60)
    assert "expired" in why_not(server, client.client_context())[0]
    before = (tmp_path / "h4/host.crt").stat().st_mtime_ns
    host(tmp_path, authority, "h4")
    os.utime(tmp_path / "h4/host.crt", ns=(before + 1, before + 1))
    with answering(server.server_context()) as (port, _seen):
        assert dial(client.client_context(), port) == b"hello"


def test_the_store_lets_in_no_certificate_of_a_host(tmp_path: Path, authority: Authority) -> None:
    store = Authority.make("the store")
    key, request = make_key_and_request()
    subject = Subject(host="h1", host_name="h1", addresses=(HERE,), is_controller=True)
    folder = tmp_path / "h1"
    server = host(tmp_path, authority, "h1", is_controller=True)
    write_private(folder / "store-ca.crt", store.certificate)
    write_private(folder / "store.key", key)
    write_private(folder / "store.crt", store.sign(request, subject).pem)
    etcd = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    etcd.load_cert_chain(folder / "store.crt", folder / "store.key")
    etcd.load_verify_locations(folder / "store-ca.crt")
    etcd.verify_mode = ssl.CERT_REQUIRED
    with answering(etcd) as (port, _seen):
        assert dial(server.store_context(), port) == b"hello"
    agent = host(tmp_path, authority, "h4").client_context()
    agent.load_verify_locations(cadata=store.certificate)
    with answering(etcd) as (port, _seen), pytest.raises(ssl.SSLError):
        dial(agent, port)


def test_files_are_roots_alone_and_whole(tmp_path: Path, authority: Authority) -> None:
    host(tmp_path, authority, "h1")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "h1").iterdir()} == {0o600}
    (tmp_path / "h1/host.key").unlink()
    with pytest.raises(CertificateProblem, match="holdfast init, or holdfast join"):
        Certificates(tmp_path / "h1")


@pytest.mark.parametrize("text", ["", "nonsense", "-----BEGIN CERTIFICATE REQUEST-----\nx\n"])
def test_what_is_no_request_is_not_signed(authority: Authority, text: str) -> None:
    with pytest.raises(NotSigned):
        authority.sign(text, Subject(host="h", host_name="h"))


@pytest.mark.parametrize("name", ["host.crt", "host.key", "ca.crt"])
@pytest.mark.parametrize("damage", ["", "x\n", "-----BEGIN CERTIFICATE-----\nAA\n"])
def test_a_damaged_file_is_told_in_words(
    tmp_path: Path, authority: Authority, name: str, damage: str
) -> None:
    host(tmp_path, authority, "h4")
    (tmp_path / "h4" / name).write_text(damage)
    with pytest.raises(CertificateProblem) as caught:
        Certificates(tmp_path / "h4").server_context()
    assert f"the certificate in {tmp_path}/h4 cannot be used" in str(caught.value)
    assert "a file of it is damaged (join anew, on that host: holdfast leave" in str(caught.value)


def test_a_key_of_another_certificate_is_told(tmp_path: Path, authority: Authority) -> None:
    host(tmp_path, authority, "h4")
    (tmp_path / "h4" / "host.key").write_text(make_key_and_request()[0])
    with pytest.raises(CertificateProblem, match=r"host\.key is not its key"):
        Certificates(tmp_path / "h4").server_context()
