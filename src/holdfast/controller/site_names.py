"""Whose names and addresses are whose: a host's certificate carries none of another host's.

Clients of the API know a controller by the name or the address that they typed: whoever held a
certificate with it could pass for that controller, and be told their tokens.
"""

import ipaddress
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from holdfast.adapters.drivers.authority import Subject
from holdfast.adapters.drivers.certificates import Peer
from holdfast.controller.site_list import SiteList
from holdfast.facts.settings import ControllerPlace
from holdfast.ports.answers import USAGE, Unanswerable

log = logging.getLogger(__name__)

MOST_ADDRESSES = 256
BROADCAST = "255.255.255.255"


def addresses_of(peer: Peer) -> tuple[str, ...]:
    return tuple(sorted(_plainly(peer.names)))


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def read_addresses(said: Any) -> tuple[str, ...]:
    """Each once, written in the one way that compares. Raises Unanswerable."""
    if said is None:
        return ()
    if not isinstance(said, list | tuple) or len(said) > MOST_ADDRESSES:
        text = f"addresses must be a list of IP addresses, at most {MOST_ADDRESSES}"
        raise Unanswerable(text, "", USAGE)
    return tuple(dict.fromkeys(read_address(one) for one in said))


def read_address(said: Any) -> str:
    """Raises Unanswerable."""
    try:
        address = ipaddress.ip_address(said if isinstance(said, str) else "")
    except ValueError:
        raise Unanswerable(f"addresses are IP addresses; {said!r} is none", "", USAGE) from None
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_unspecified or address.is_multicast or str(address) == BROADCAST:
        raise Unanswerable(f"no host has the address {address}", "", USAGE)
    return str(address)


def read_planes(said: Any) -> dict[str, str]:
    """Raises Unanswerable."""
    if not isinstance(said, dict | None):
        raise Unanswerable("planes must be an object: a name and an address each", "", USAGE)
    return {str(name): read_address(one) for name, one in (said or {}).items()}


def certified(peer: Peer, said: Any) -> str:
    """An address that the peer's certificate says is its own. Raises Unanswerable."""
    address = read_address(said)
    if address not in _plainly(peer.names):
        text = f"{address} is not in the certificate of {peer.host_name}"
        raise Unanswerable(text, "does another host have it? holdfast ca certificate list")
    return address


def refuse_name(
    host_name: str, is_controller: bool, members: SiteList, places: Mapping[str, ControllerPlace]
) -> None:
    """Names are those of the DNS, which knows no case. Raises Unanswerable."""
    taken = {one.host_name for one in members.valid()} | set(places)
    for name in sorted(taken - {host_name}):
        if name.casefold() == host_name.casefold():
            text = f"the site has a host {name}: {host_name} differs from it in case alone"
            raise Unanswerable(text, "give this host another name: holdfast join --name NAME ...")
    if host_name in places and not is_controller:
        raise Unanswerable(
            f"{host_name} is the name of a controller of this site",
            "give this host another name; or first put that one out, on another controller:"
            f" holdfast ca certificate revoke {host_name} --reason WHY",
        )


def own_addresses(
    addresses: Iterable[str],
    subject: Subject,
    members: SiteList,
    places: Mapping[str, ControllerPlace],
) -> tuple[str, ...]:
    """Those of `addresses` that no other host has. Bridges have the same address on many hosts
    (192.168.122.1): such a one stays with the host that had it first. A controller's place is
    nobody else's, and who asks for it is refused. Raises Unanswerable."""
    wanted = tuple(addresses)
    asked = [one for one in wanted if not ipaddress.ip_address(one).is_loopback]
    for name, place in sorted(places.items()):
        theirs = _plainly([place.address, *place.planes.values()])
        found = [one for one in asked if one in theirs]
        if found and name != subject.host_name:
            raise Unanswerable(
                f"{', '.join(found)} is the address of {name}, a controller of this site",
                f"does {subject.host_name} have it as well? ip address",
            )
    others: set[str] = set()
    for one in members.valid():
        if one.host != subject.host and one.host_name != subject.host_name:
            others |= _plainly(one.addresses)
    shared = [one for one in asked if one in others]
    if shared:
        log.info(
            "%s gets no certificate for %s: another host has it",
            subject.host_name,
            ", ".join(shared),
        )
    return tuple(one for one in wanted if one not in shared)


def _plainly(addresses: Iterable[str]) -> set[str]:
    return {read_address(one) for one in addresses if is_address(one)}
