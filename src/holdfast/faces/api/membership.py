"""What hosts ask of the site: to join, to renew, to leave. Certificates speak here, not tokens.

Mounted where the API listens with TLS. Who joins has no certificate yet: its token decides.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from holdfast.adapters.drivers.certificates import CertificateProblem, Certificates, Peer
from holdfast.controller.joining import Joining
from holdfast.faces.api.reading import read_object
from holdfast.faces.api.refusals import Refusal, json_response, of_answer
from holdfast.ports.answers import AWAY, Unanswerable
from holdfast.ports.store import StoreAway

PUT_OUT = (
    "this host is none of the site's any more: holdfast leave --alone undoes what is here;"
    " to belong to it again: holdfast join, with a new token"
)

ForPeer = Callable[[dict[str, Any], Peer], Awaitable[dict[str, Any]]]


def add_membership(app: web.Application, joining: Joining, certificates: Certificates) -> None:
    async def ca(_request: web.Request) -> web.Response:
        return json_response(joining.ca())

    async def join(request: web.Request) -> web.Response:
        return await _answered(joining.join(await read_object(request)))

    async def site(_asked: dict[str, Any], _peer: Peer) -> dict[str, Any]:
        return joining.site()

    def for_peer(ask: ForPeer) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            peer = _peer(request, certificates)
            asked = {} if request.method == "GET" else await read_object(request)
            return await _answered(ask(asked, peer))

        return handle

    app.router.add_get("/v1/ca", ca)
    app.router.add_post("/v1/join", join)
    app.router.add_get("/v1/site", for_peer(site))
    app.router.add_post("/v1/member", for_peer(joining.member))
    app.router.add_post("/v1/joined", for_peer(joining.joined))
    app.router.add_post("/v1/renew", for_peer(joining.renew))
    app.router.add_post("/v1/leave", for_peer(joining.leave))


async def _answered(work: Awaitable[dict[str, Any]]) -> web.Response:
    try:
        return json_response(await work)
    except Unanswerable as failure:
        raise of_answer(failure) from None
    except StoreAway as away:
        hint = "nothing is known to have changed; another controller may do it"
        raise of_answer(Unanswerable(str(away), hint, AWAY)) from None


def _peer(request: web.Request, certificates: Certificates) -> Peer:
    transport = request.transport
    shown = transport.get_extra_info("ssl_object") if transport else None
    try:
        return certificates.peer(shown)
    except CertificateProblem as problem:
        is_put_out = shown is not None and bool(shown.getpeercert())
        hint = PUT_OUT if is_put_out else "only hosts of this site may ask this"
        raise Refusal(403, str(problem), hint) from None
