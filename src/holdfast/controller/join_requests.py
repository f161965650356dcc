"""What a host that wants to join says of itself, and what is nonsense in it."""

from typing import Any

import msgspec
from msgspec import Struct

from holdfast.controller import site_names
from holdfast.facts import wire
from holdfast.facts.settings_reader import NAME
from holdfast.ports.answers import USAGE, Unanswerable

HOST_ID_LENGTH = 64


NO_NAMES = ("localhost", "localhost.localdomain")  # Every host is that to itself.


class JoinRequest(Struct, frozen=True, kw_only=True):
    """What a host that wants to join says of itself. `request` is to be signed (PEM)."""

    token: str
    request: str
    host: str
    host_name: str
    addresses: tuple[str, ...] = ()
    controller: bool = False
    version: int = 1


def read_request(asked: dict[str, Any]) -> JoinRequest:
    """Raises Unanswerable."""
    try:
        request = msgspec.convert(asked, JoinRequest)
    except msgspec.ValidationError as error:
        text = f"the request cannot be understood: {error}"
        raise Unanswerable(text, "do both hosts have the same version?", USAGE) from None
    _refuse_nonsense(request)
    return request


def _refuse_nonsense(request: JoinRequest) -> None:
    if not wire.works_with(request.version):
        text = f"this controller speaks version {wire.VERSION}, the host {request.version}"
        raise Unanswerable(text, "install the same version on both", USAGE)
    name = request.host_name
    if not NAME.fullmatch(name) or name.endswith(".") or name.casefold() in NO_NAMES:
        text = "a host's name has letters, digits, and . _ - inside, to 63, and is not localhost"
        raise Unanswerable(text, "holdfast join --name NAME ...", USAGE)
    if site_names.is_address(request.host_name):
        raise Unanswerable("a host's name is no address", "holdfast join --name NAME ...", USAGE)
    site_names.read_addresses(request.addresses)
    if not request.host.isalnum() or len(request.host) > HOST_ID_LENGTH:
        raise Unanswerable("a host id is a word of letters and digits", "", USAGE)
