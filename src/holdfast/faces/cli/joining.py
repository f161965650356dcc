"""A host asks to join: it knows the site by the token, and the site knows it by the token."""

import ipaddress
import ssl
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from holdfast.adapters.drivers.authority import Authority, make_key_and_request
from holdfast.adapters.drivers.certificates import (
    CA_KEY,
    STORE_CA,
    STORE_CA_KEY,
    Certificates,
    write_private,
)
from holdfast.adapters.drivers.site_client import SiteAway, SiteClient, SiteRefused, fetch_pinned
from holdfast.faces.cli import hook, services, site_setup
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.hostname import address_towards, name_of_host
from holdfast.faces.cli.services import Machine, Say
from holdfast.facts import wire
from holdfast.facts.membership import SitePlan, StoreMember, store_endpoints
from holdfast.facts.settings import ControllerPlace, Settings

TOKEN_PARTS = 3
SHA256_LETTERS = 64
FIND_LIMIT_S, FIND_EACH_S = 10.0, 0.5


class Joiner:
    """`ask` gets the certificate, `settle` makes this host what it is to be."""

    def __init__(
        self,
        *,
        settings: Settings,
        config: str,
        place: str,
        token: str,
        is_controller: bool,
        planes: Mapping[str, str],
        addresses: Sequence[str],
    ) -> None:
        self._settings, self._config = settings, config
        self._host, self._port = _split(place, settings.api_port)
        self._token, self._is_controller = token.strip(), is_controller
        self._planes, self._addresses = dict(planes), tuple(addresses)
        self._answer: dict[str, Any] = {}

    def ask(self) -> None:
        """Raises Failure; then nothing was written here."""
        parts = self._token.split(".")
        if len(parts) != TOKEN_PARTS or len(parts[2]) != SHA256_LETTERS:
            text = "this is no whole token: it has three parts with dots between them"
            raise Failure(text, "copy all of what `holdfast ca token new` printed", Exit.USAGE)
        # Before the token is spent; what only the route says is not known yet.
        typed = self._settings.own_planes | self._planes
        site_setup.refuse_shared_address(typed, "holdfast join")
        key, request = make_key_and_request()
        asked = {
            "token": self._token,
            "request": request,
            "host": site_setup.host_id(self._settings),
            "host_name": name_of_host(self._settings),
            "addresses": list(dict.fromkeys([*self._addresses, *self._named_addresses()])),
            "controller": self._is_controller,
            "version": wire.VERSION,
        }
        try:
            trusted = self._find_site(parts[2])
            answer = SiteClient(self._host, self._port, trusted).post("/v1/join", asked)
        except SiteAway as away:
            hint = f"does a controller run there? on it: holdfast status (port {self._port})"
            raise Failure(str(away), hint, Exit.AWAY) from None
        except SiteRefused as refused:
            raise Failure(str(refused), refused.hint, refused.code) from None
        plan = _plan(answer)
        own = self._own_planes(plan)
        tls_dir = self._settings.tls_dir
        site_setup.write_host_files(tls_dir, answer["ca"], answer["certificate"], key)
        for name, text in answer.get("keys", {}).items():
            if name in (CA_KEY, STORE_CA, STORE_CA_KEY):
                write_private(Path(tls_dir) / name, text)
        self._answer, self._plan, self._own = answer, plan, own

    def _named_addresses(self) -> list[str]:
        written = [plane.address for plane in self._settings.planes if plane.address]
        return [*self._planes.values(), *written]

    def _find_site(self, fingerprint: str) -> ssl.SSLContext:
        """A controller starts again by itself when the site changed: wait that long. SiteAway."""
        deadline = time.monotonic() + FIND_LIMIT_S
        while True:
            try:
                return fetch_pinned(self._host, self._port, fingerprint)[1]
            except SiteAway as away:
                if not away.is_silent or time.monotonic() > deadline:
                    raise
                time.sleep(FIND_EACH_S)

    def settle(self, say: Say, on: Machine) -> Settings:
        """Write the settings and start the services; a controller's store gets its vote last."""
        plan, name = self._plan, name_of_host(self._settings)
        place = ControllerPlace(name=name, address=next(iter(self._own.values())), planes=self._own)
        if self._is_controller:
            self._add_member(place)
            plan = structs.replace(
                plan,
                controllers=(*plan.controllers, place),
                etcd_endpoints=(*plan.etcd_endpoints, *store_endpoints([place])),
            )
        settings = site_setup.write_settings(self._config, plan, self._own, self._settings)
        services.install(settings, self._config, name, say, on)
        hook.install(settings, say, on)
        if self._is_controller:
            say("this controller's store learns what the others know")
            asked = {"address": place.address, "planes": place.planes}
            plan = _plan(self._post("/v1/joined", asked))
            settings = site_setup.write_settings(self._config, plan, self._own, self._settings)
        return settings

    def _add_member(self, place: ControllerPlace) -> None:
        told = self._post("/v1/member", {"address": place.address})
        folder = Path(self._settings.tls_dir)
        site_setup.write_store_files(
            self._settings,
            self._config,
            Authority((folder / STORE_CA).read_text(), (folder / STORE_CA_KEY).read_text()),
            name=place.name,
            address=place.address,
            members=msgspec.convert(told["members"], list[StoreMember]),
        )

    def _post(self, path: str, asked: dict[str, Any]) -> dict[str, Any]:
        """The first controller that answers; one that starts again just now is waited for."""
        tls = Certificates(self._settings.tls_dir).client_context()
        places = [self._host, *(place.address for place in self._plan.controllers)]
        deadline = time.monotonic() + FIND_LIMIT_S
        while True:
            for host in dict.fromkeys(places):
                try:
                    return SiteClient(host, self._port, tls).post(path, asked)
                except SiteRefused as refused:
                    raise Failure(str(refused), refused.hint, refused.code) from None
                except SiteAway as away:
                    if time.monotonic() > deadline:
                        raise Failure(str(away), "", Exit.AWAY) from None
            time.sleep(FIND_EACH_S)

    def _own_planes(self, plan: SitePlan) -> dict[str, str]:
        """Our address on each plane of the site: as typed, as written, else as the route goes."""
        found = dict(self._settings.own_planes)
        for plane in plan.planes:
            if plane in self._planes:
                found[plane] = self._planes[plane]
            elif plane not in found:
                towards = next((c.planes[plane] for c in plan.controllers if plane in c.planes), "")
                address = address_towards(towards) if towards else ""
                if address not in self._addresses:
                    text = f"this host has no way to {towards or 'any controller'} on plane {plane}"
                    raise Failure(text, f"holdfast join --plane {plane}=ADDRESS ...")
                found[plane] = address
        unknown = set(self._planes) - set(plan.planes)
        if unknown:
            known = ", ".join(plan.planes)
            text = f"the site has no plane {', '.join(sorted(unknown))}; it has {known}"
            raise Failure(text, code=Exit.USAGE)
        site_setup.refuse_shared_address(found, "holdfast join, with a new token, and")
        return found


def _plan(answer: Mapping[str, Any]) -> SitePlan:
    try:
        return msgspec.convert(answer["site"], SitePlan)
    except (KeyError, msgspec.ValidationError) as error:
        text = f"the controller's answer is not understood: {error}"
        raise Failure(text, "do both have the same version?", Exit.BROKEN) from None


def _split(place: str, port: int) -> tuple[str, int]:
    """HOST, HOST:PORT, an IPv6 address, or [ADDRESS]:PORT."""
    try:
        return str(ipaddress.ip_address(place.strip("[]"))), port
    except ValueError:
        host, colon, number = place.rpartition(":")
    if not colon:
        return place, port
    if not number.isdigit():
        raise Failure(f"{place!r} is no HOST[:PORT]", code=Exit.USAGE)
    return host.strip("[]"), int(number)
