"""A change that was asked of a controller that does not lead is passed on to the one that does."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from holdfast.adapters.drivers.certificates import Certificates
from holdfast.faces.api.refusals import Refusal, json_response
from holdfast.faces.api.routes import Route
from holdfast.facts.roles import Caller
from holdfast.facts.settings import ControllerPlace

LIMIT_S = 28.0  # Below the limit of whoever asked us.
# What a controller says of whom it stands for; only its certificate makes it believed.
BY, ROLE, FROM = "X-Holdfast-By", "X-Holdfast-Role", "X-Holdfast-From"


class Leader:
    """`places` are the site's controllers as they are known now."""

    def __init__(
        self, certificates: Certificates, places: Callable[[], Iterable[ControllerPlace]], port: int
    ) -> None:
        self._certificates, self._places, self._port = certificates, places, port

    async def ask(
        self, leader: str, route: Route, args: Mapping[str, Any], caller: Caller
    ) -> web.Response:
        """The leader's own answer, whatever it is. Raises Refusal when it cannot be had."""
        place = next((one for one in self._places() if one.name == leader), None)
        if place is None:
            raise Refusal(503, f"{leader} leads, and nobody knows its address", "", 3)
        host = f"[{place.address}]" if ":" in place.address else place.address
        body = {name: value for name, value in args.items() if name not in route.parameters}
        headers = {BY: _plain(caller.name), ROLE: str(caller.role), FROM: _plain(caller.origin)}
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LIMIT_S)) as session,
                session.request(
                    route.method,
                    f"https://{host}:{self._port}{route.fill(args)}",
                    json=body,
                    headers=headers,
                    ssl=self._certificates.client_context(),
                ) as answer,
            ):
                data = msgspec.json.decode(await answer.read())
                return json_response(data, answer.status)
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError) as error:
            text = f"{leader} leads, and could not be asked: {str(error) or type(error).__name__}"
            hint = "what it did is not known: holdfast status; then try again"
            raise Refusal(503, text, hint, 3) from None


def _plain(text: str) -> str:
    """As a header can carry it."""
    kept = "".join(letter if letter.isprintable() else " " for letter in text)
    return kept.encode("ascii", "replace").decode()
