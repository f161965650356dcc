"""Events of a controller as they happen, read from its stream line by line."""

import http.client
from collections.abc import Iterator

import msgspec

from holdfast.faces.api.routes import route_for
from holdfast.faces.cli.asking import headers_of, place_of
from holdfast.faces.cli.calling import Away, connected, said_no
from holdfast.faces.cli.settings import Site
from holdfast.facts.events import Event, EventGap

# The stream says each 15 s that it is still there.
SILENCE_LIMIT_S = 40.0


class FellBehind(Exception):
    """Events were left out, since they are not kept any more; the text says which."""


def follow(site: Site, after: str) -> Iterator[Event]:
    """Each event after that one, for ever. Raises Away, Failure, FellBehind."""
    place = place_of(site)
    with connected(place) as connection:
        path = route_for("follow", ()).path
        headers = {**headers_of(site), "Last-Event-ID": after, "Accept": "text/event-stream"}
        connection.request("GET", path, headers=headers)
        connection.sock.settimeout(SILENCE_LIMIT_S)
        response = connection.getresponse()
        if response.status != 200:
            raise said_no(response.status, response.read())
        for name, data in _messages(response):
            if name == "gap":
                gap = msgspec.json.decode(data, type=EventGap)
                raise FellBehind(f"events {gap.first} to {gap.last} are missing: {gap.reason}")
            yield msgspec.json.decode(data, type=Event)
    raise Away("the controller ended while it was asked")


def _messages(response: http.client.HTTPResponse) -> Iterator[tuple[str, bytes]]:
    """The name and the data of each message; other lines say nothing to us."""
    name, data = "", b""
    while line := response.readline():
        field, _, value = line.rstrip(b"\r\n").partition(b": ")
        if field == b"event":
            name = value.decode()
        elif field == b"data":
            data = value
        elif not field:
            if data:
                yield name, data
            name, data = "", b""
