"""Who asks: root on this host, the bearer of a token, or the owner of a site's certificate."""

import os
import pwd
import socket
import struct
from collections import OrderedDict, deque
from collections.abc import Callable

from aiohttp import web

from holdfast.adapters.drivers.certificates import CertificateProblem, Certificates
from holdfast.controller.api_tokens import ApiTokens, TokenRefused
from holdfast.faces.api.leading import BY, FROM, ROLE
from holdfast.faces.api.refusals import Refusal, of_answer, printable
from holdfast.facts.roles import Caller, Role
from holdfast.ports import clock
from holdfast.ports.answers import Unanswerable

NAME_LETTERS = 64
FAILURES_ALLOWED = 10
FAILURES_WITHIN_S = 60.0
ADDRESSES_KEPT = 10_000
HINT = "holdfast token create NAME --role see, on a controller"


def who_is_local(request: web.Request) -> Caller:
    """Only root can open the socket; who typed is what the command line says of it."""
    uid = _peer_uid(request)
    if uid not in (0, os.geteuid()):
        raise Refusal(403, f"uid {uid} may not ask here", "run it with sudo")
    return Caller(name=_said_name(request) or _user(uid), role=Role.ADMINISTER, origin="this host")


class Failures:
    """Wrong tokens, counted by the address they came from, for as long as they count."""

    def __init__(self, now_s: Callable[[], float] = clock.monotonic_s) -> None:
        self._now_s = now_s
        self._by_address: OrderedDict[str, deque[float]] = OrderedDict()
        self.count = 0

    def add(self, address: str) -> None:
        self.count += 1
        times = self._by_address.setdefault(address, deque(maxlen=FAILURES_ALLOWED))
        self._by_address.move_to_end(address)
        times.append(self._now_s())
        if len(self._by_address) > ADDRESSES_KEPT:
            self._by_address.popitem(last=False)

    def wait_s(self, address: str) -> float:
        """How long nobody is listened to from there, or 0."""
        times = self._by_address.get(address)
        if times is None or len(times) < FAILURES_ALLOWED:
            return 0.0
        return max(0.0, times[0] + FAILURES_WITHIN_S - self._now_s())


class Remote:
    """Who asks over TLS. A token is a word of 256 random bits: the limit on wrong ones is there
    for the log and the processor, so a right one is heard also where wrong ones came from."""

    def __init__(self, tokens: ApiTokens, certificates: Certificates | None) -> None:
        self._tokens, self._certificates = tokens, certificates
        self.failures = Failures()

    def identify(self, request: web.Request) -> Caller:
        """Raises Refusal."""
        # One socket hears both families: there an IPv4 address has a prefix.
        address = (request.remote or "nobody knows where").removeprefix("::ffff:")
        said = request.headers.get("Authorization", "")
        if said:
            return self._bearer(said, address)
        return self._owner(request, address)

    def _bearer(self, said: str, address: str) -> Caller:
        kind, _, word = said.partition(" ")
        try:
            if kind.lower() != "bearer":
                raise TokenRefused("only bearer tokens are taken: Authorization: Bearer TOKEN")
            token = self._tokens.check(word.strip())
        except TokenRefused as refused:
            wait_s = self.failures.wait_s(address)
            self.failures.add(address)
            if wait_s:
                raise _too_many(address, wait_s) from None
            headers = {"WWW-Authenticate": "Bearer"}
            raise Refusal(401, str(refused), HINT, headers=headers) from None
        except Unanswerable as failure:
            raise of_answer(failure) from None
        return Caller(name=f"token {token.name}", role=token.role, origin=address)

    def _owner(self, request: web.Request, address: str) -> Caller:
        transport = request.transport
        shown = transport.get_extra_info("ssl_object") if transport else None
        if shown is None or not shown.getpeercert() or self._certificates is None:
            headers = {"WWW-Authenticate": "Bearer"}
            text = "nobody said who asks: a token or a certificate of the site is needed"
            raise Refusal(401, text, HINT, headers=headers)
        try:
            peer = self._certificates.peer(shown)
        except CertificateProblem as problem:
            raise Refusal(403, str(problem)) from None
        if not peer.is_controller:
            return Caller(name=f"host {peer.host_name}", role=Role.SEE, origin=address)
        return _spoken_for(request, peer.host_name, address)


def _spoken_for(request: web.Request, host_name: str, address: str) -> Caller:
    """Only controllers speak for others: what root typed there, or what was asked of them."""
    by = _said_name(request)
    origin = request.headers.get(FROM)
    if origin is None:
        name = f"{by} on {host_name}" if by else f"controller {host_name}"
        return Caller(name=name, role=Role.ADMINISTER, origin=address)
    try:
        role = Role(request.headers.get(ROLE, ""))
    except ValueError:
        raise Refusal(400, f"{host_name} names no role for whom it stands") from None
    where = printable(origin)[:NAME_LETTERS]
    return Caller(name=by or "nobody", role=role, origin=f"{where}, through {host_name}")


def _too_many(address: str, wait_s: float) -> Refusal:
    text = f"too many wrong tokens came from {address}"
    return Refusal(429, text, "wait, then try another", headers={"Retry-After": f"{wait_s:.0f}"})


def _said_name(request: web.Request) -> str:
    said = printable(request.headers.get(BY, ""))[:NAME_LETTERS]
    return "".join(letter for letter in said if letter.isprintable()).strip()


def _peer_uid(request: web.Request) -> int:
    transport = request.transport
    peer = transport.get_extra_info("socket") if transport else None
    if peer is None:
        raise Refusal(403, "nobody knows who asks")
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", raw)
    return int(uid)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
