"""How a host comes to belong to the site, and how it ceases to: tokens, certificates, members."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from holdfast.adapters.drivers.authority import Authority, NotSigned, Subject, fingerprint
from holdfast.adapters.drivers.certificates import (
    CA,
    CA_KEY,
    STORE_CA,
    STORE_CA_KEY,
    Certificates,
    Peer,
)
from holdfast.controller import site_names
from holdfast.controller.agents import Agent, Agents
from holdfast.controller.join_requests import JoinRequest, read_request
from holdfast.controller.join_tokens import JoinTokens
from holdfast.controller.registry import NotLeading
from holdfast.controller.site_list import SiteList, utc_ms
from holdfast.controller.store_members import Reach, StoreMembers
from holdfast.facts.membership import CERTIFICATES, CONTROLLERS, Issued, site_plan
from holdfast.facts.settings import ControllerPlace, Settings
from holdfast.ports.answers import AWAY, REFUSED, USAGE, Unanswerable
from holdfast.ports.store import Store, StoreAway

log = logging.getLogger(__name__)

READ_EACH_S = 2.0


class Joining:
    """`reach_store` is the way to etcd's members, where the store is one; `bound_vms` are why a
    host may not just leave, or that it `is_armed` (its lease is open, and its watchdog);
    `stranded_vms` are those that nobody could bring back once it is put out (it raises
    Unanswerable where that is not known); `forget_host` ends its record in the store, `host_left`
    what this controller alone knows of it, and `end_words` what it had told."""

    def __init__(
        self,
        *,
        settings: Settings,
        certificates: Certificates,
        store: Store,
        agents: Agents,
        reach_store: Reach,
        bound_vms: Callable[[str], list[str]],
        is_armed: Callable[[str], bool],
        stranded_vms: Callable[[str], list[str]],
        forget_host: Callable[[str], Awaitable[None]],
        host_left: Callable[[str], None],
        end_words: Callable[[Mapping[str, str]], Awaitable[None]],
    ) -> None:
        self._settings, self._certificates, self._agents = settings, certificates, agents
        self._folder = Path(settings.tls_dir)
        self._bound_vms, self._is_armed, self._forget_host = bound_vms, is_armed, forget_host
        self._stranded_vms = stranded_vms
        self._host_left, self._end_words = host_left, end_words
        self._gone: set[str] = set()
        self.members = SiteList(store)
        self._store_members = StoreMembers(settings, self.members, reach_store)
        self._told: dict[str, ControllerPlace] = {}
        self._telling: set[asyncio.Task[None]] = set()
        self.ca_pem = (self._folder / CA).read_text()
        self.tokens = JoinTokens(self.members, fingerprint(self.ca_pem))

    @property
    def own_host(self) -> str:
        return self._certificates.me.host

    @property
    def has_room_for_controllers(self) -> bool:
        return self._settings.store == "etcd"

    async def run(self) -> None:
        """For ever: keep the list fresh, and whoever was revoked out."""
        while True:
            await self.look()
            await asyncio.sleep(READ_EACH_S)

    async def look(self) -> None:
        try:
            await self.members.read()
            await self._record_ourselves()
        except StoreAway as away:
            log.debug("the site's list is as it was: %s", away)
            return
        self._certificates.refresh()
        self._tell_of_controllers()
        self._put_out_who_left()
        with contextlib.suppress(StoreAway):  # The leader does: it may have greeted once more.
            for host in self._gone:
                await self._forget_host(host)
        await self._end_words(self._named_gone())

    def _named_gone(self) -> dict[str, str]:
        """Those that left, and their names where no host of the site has the same one now."""
        issued = self.members.issued.values()
        used = {one.host_name for one in issued if not one.revoked_utc_ms}
        return {
            one.host: one.host_name
            for one in issued
            if one.host in self._gone and one.host_name not in used
        }

    def _put_out_who_left(self) -> None:
        """A host whose certificates are all revoked is none of the site's any more."""
        self._certificates.revoked = self.members.revoked
        issued = self.members.issued.values()
        inside = {one.host for one in issued if not one.revoked_utc_ms}
        gone = {one.host for one in issued} - inside
        for host in (gone - self._gone) | (gone & self._agents.by_host.keys()):
            agent = self._agents.by_host.get(host)
            if agent is not None and agent.link is not None:
                agent.link.close()
            self._host_left(host)
        self._gone = gone

    def _tell_of_controllers(self) -> None:
        """Agents that are linked ask the site at once, rather than within half a minute."""
        if self.members.controllers == self._told:
            return
        self._told = dict(self.members.controllers)
        for agent in self._agents.by_host.values():
            if agent.link is not None:
                task = asyncio.create_task(self._tell(agent))
                self._telling.add(task)
                task.add_done_callback(self._telling.discard)

    async def _tell(self, agent: Agent) -> None:
        with contextlib.suppress(Unanswerable):  # It asks by itself, a little later.
            await self._agents.ask(agent, "site-changed", {}, by="the site")

    async def _record_ourselves(self) -> None:
        """The first controller signed its own certificate, before there was a store."""
        me = self._certificates.me
        if me.serial not in self.members.issued:
            mine = Issued(
                serial=me.serial,
                host=me.host,
                host_name=me.host_name,
                is_controller=me.is_controller,
                addresses=site_names.addresses_of(me),
                made_utc_ms=utc_ms(),
                ends_utc_ms=me.ends_utc_ms,
            )
            await self.members.change(CERTIFICATES, me.serial, Issued, lambda held: held or mine)
        place = self._settings.place_of(me.host_name)
        if place is not None and len(self._settings.controllers) == 1:
            await self.members.change(
                CONTROLLERS, place.name, ControllerPlace, lambda held: held or place
            )

    def ca(self) -> dict[str, Any]:
        """Nobody need be known for this: a certificate of a CA is no secret."""
        return {"ca": self.ca_pem}

    async def join(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Sign a host's certificate for a token. Raises Unanswerable, StoreAway.

        The token is looked at first: who has none is told nothing of the site.
        """
        request = read_request(asked)
        await _of_list(self.tokens.look(request.token))
        await self.read()
        if request.controller and self._settings.store != "etcd":
            raise Unanswerable(
                "this site has one controller: its store is a file that others cannot share",
                "first, on the controller: holdfast init --controllers 3",
            )
        self._refuse_second(request)
        subject = Subject(
            host=request.host,
            host_name=request.host_name,
            is_controller=request.controller,
        )
        wanted = site_names.read_addresses(request.addresses)
        own = site_names.own_addresses(wanted, subject, self.members, self._places())
        keys = self._store_keys() if request.controller else {}
        token = await self.tokens.use(
            request.token, host_name=request.host_name, is_controller=request.controller
        )
        try:
            pem = await self._sign(
                request.request, replace(subject, addresses=own), replaces="it joined again"
            )
        except Unanswerable:
            await self.tokens.give_back(token)
            raise
        except (StoreAway, asyncio.CancelledError):
            self.tokens.give_back_later(token)
            raise
        answer = {"ca": self.ca_pem, "certificate": pem, "site": self.site()}
        if keys:
            answer["keys"] = keys
        log.info("%s (%s) joins", request.host_name, request.host)
        return answer

    def _store_keys(self) -> dict[str, str]:
        """What a controller needs to sign for hosts and for the store. Raises OSError."""
        names = (CA_KEY, STORE_CA, STORE_CA_KEY)
        return {name: (self._folder / name).read_text() for name in names}

    async def member(self, asked: dict[str, Any], peer: Peer) -> dict[str, Any]:
        """A controller that joins gets a place in the store, without a vote yet."""
        self._only_controllers(peer)
        address = site_names.certified(peer, asked.get("address"))
        members = await self._store_members.add(address)
        return {"members": msgspec.to_builtins(members)}

    async def joined(self, asked: dict[str, Any], peer: Peer) -> dict[str, Any]:
        """A controller's store runs: give it its vote, and tell the site of the controller."""
        self._only_controllers(peer)
        address = site_names.certified(peer, asked.get("address"))
        planes = site_names.read_planes(asked.get("planes"))
        for one in planes.values():
            site_names.certified(peer, one)
        await self._store_members.promote(address)
        place = ControllerPlace(name=peer.host_name, address=address, planes=planes)
        # It has a vote now: a site that does not list it would be one voter short unawares.
        await self.members.insist(CONTROLLERS, place.name, ControllerPlace, lambda _held: place)
        log.info("%s is a controller now", peer.host_name)
        return {"site": self.site()}

    async def renew(self, asked: dict[str, Any], peer: Peer) -> dict[str, Any]:
        """Another year, for the one who asks, with the names that it has."""
        await self.read()
        subject = Subject(
            host=peer.host, host_name=peer.host_name, is_controller=peer.is_controller
        )
        wanted = site_names.read_addresses(asked.get("addresses"))
        own = wanted or site_names.addresses_of(peer)
        own = site_names.own_addresses(own, subject, self.members, self._places())
        subject = replace(subject, addresses=own)
        pem = await self._sign(str(asked.get("request", "")), subject)
        return {"ca": self.ca_pem, "certificate": pem}

    def site(self) -> dict[str, Any]:
        """What every host's settings say alike."""
        known = self._places()
        places = [known[name] for name in sorted(known)]
        plan = site_plan(self._settings, places, self._settings.store)
        found: dict[str, Any] = msgspec.to_builtins(plan)
        return found

    def _places(self) -> dict[str, ControllerPlace]:
        """One that left is in our settings a little longer than in the store."""
        return self.members.controllers or {one.name: one for one in self._settings.controllers}

    async def leave(self, _asked: dict[str, Any], peer: Peer) -> dict[str, Any]:
        """Forget the host that asks. Raises Unanswerable while the site owes its VMs a promise."""
        await self.read()
        if peer.is_controller and set(self.members.controllers) <= {peer.host_name}:
            raise Unanswerable(
                f"{peer.host_name} is the site's only controller: without it there is no site",
                "let the other hosts leave first; then: holdfast leave --alone",
            )
        bound = self._bound_vms(peer.host)
        if bound:
            raise Unanswerable(
                f"protected VMs run on {peer.host_name}: {', '.join(sorted(bound))}",
                "\n".join(f"holdfast vm unprotect {name}" for name in sorted(bound)),
            )
        if self._is_armed(peer.host):
            raise Unanswerable(
                f"the lease of {peer.host_name} is open: its watchdog would reset the host later",
                "it is closed some seconds after no VM there relies on it: then leave again",
            )
        await self.put_out(peer.host, peer.host_name, "it left", peer.host_name)
        return {
            "left": peer.host_name,
            "controllers": sorted(self.members.controllers),
            "store": self._settings.store,
        }

    async def read(self) -> None:
        """Raises Unanswerable."""
        await _of_list(self.members.read())

    def _refuse_second(self, request: JoinRequest) -> None:
        """One identity, one host; one name, one host."""
        site_names.refuse_name(request.host_name, request.controller, self.members, self._places())
        for one in self.members.valid():
            if one.host == request.host and one.host_name != request.host_name:
                raise Unanswerable(
                    f"this host's identity is that of {one.host_name}: was its disk copied?",
                    "make it a host of its own: holdfast leave --alone, here; then join again",
                )
            if request.host != one.host and one.host_name != request.host_name:
                continue
            if request.host != one.host:
                raise Unanswerable(
                    f"the site has a host {one.host_name} already, of another identity"
                    f" ({one.host})",
                    "give this host another name: holdfast join --name NAME ...; or, if that one"
                    f" is gone, on a controller: holdfast ca certificate revoke {one.host_name}"
                    " --reason WHY",
                )
            agent = self._agents.by_host.get(one.host)
            if agent is not None and agent.link is not None:
                raise Unanswerable(
                    f"this host, {one.host_name} ({one.host}), belongs to the site, and its agent"
                    " is linked now",
                    "was its disk copied? holdfast leave --alone, here; or let the other leave",
                )

    async def _sign(self, request: str, subject: Subject, replaces: str = "") -> str:
        try:
            authority = Authority(self.ca_pem, (self._folder / CA_KEY).read_text())
            signed = authority.sign(request, subject)
        except NotSigned as error:
            raise Unanswerable(str(error), "", USAGE) from None
        except OSError as error:
            text = f"this controller cannot read the CA's key: {error}"
            raise Unanswerable(text, "ask another controller", AWAY) from None
        issued = Issued(
            serial=signed.serial,
            host=subject.host,
            host_name=subject.host_name,
            is_controller=subject.is_controller,
            addresses=subject.addresses,
            made_utc_ms=utc_ms(),
            ends_utc_ms=signed.ends_utc_ms,
        )
        await self.members.change(CERTIFICATES, signed.serial, Issued, lambda _held: issued)
        if replaces:  # Only now: the host has at least one certificate at any time.
            for old in self.members.valid():
                is_its = old.host == subject.host or old.host_name == subject.host_name
                if is_its and old.serial != signed.serial:
                    await self.revoke(old.serial, replaces, subject.host_name)
        return signed.pem

    async def revoke(self, serial: str, reason: str, by: str) -> None:
        def revoked(held: Issued | None) -> Issued | None:
            if held is None or held.revoked_utc_ms:
                return held
            return structs.replace(held, revoked_utc_ms=utc_ms(), reason=reason, revoked_by=by)

        await self.members.insist(CERTIFICATES, serial, Issued, revoked)

    async def put_out(self, host: str, host_name: str, reason: str, by: str) -> None:
        """Any controller may: the one that leads may be gone, or be the one to put out."""
        with contextlib.suppress(NotLeading):  # Who leads forgets it when it reads the list next.
            await self._forget_host(host)
        # A machine that was installed anew has the name now: that one's place is not touched.
        has_name = any(
            one.host_name == host_name and one.host != host and not one.revoked_utc_ms
            for one in self.members.issued.values()
        )
        place = None if has_name else self.members.controllers.get(host_name)
        if self._settings.store == "etcd":
            await self._store_members.put_out(host, place)
        if place is not None:
            await self.members.insist(CONTROLLERS, host_name, ControllerPlace, lambda _held: None)
        for one in self.members.valid():
            if one.host == host:
                await self.revoke(one.serial, reason, by)
        self._put_out_who_left()
        log.warning("%s does not belong to the site any more: %s", host_name, reason)

    def refuse_stranding(self, host: str, host_name: str) -> None:
        """Raises Unanswerable for a host that holds VMs and is not proven dead. Without it nobody
        could prove that any more: each VM would wait for a person who knows that it is gone."""
        stranded = sorted(self._stranded_vms(host))
        if stranded:
            raise Unanswerable(
                f"{host_name} holds protected VMs, and is not proven dead: {', '.join(stranded)}."
                " Once it is put out, nobody can start them elsewhere any more",
                f'if it is dead: holdfast host confirm-dead {host_name} --because "how you know",'
                f" and wait until its VMs run elsewhere\n"
                f"if it lives: holdfast host drain {host_name}, or holdfast vm unprotect VM\n"
                "if it must be out at once all the same: say it again with --even-with-vms",
                REFUSED,
            )

    def _only_controllers(self, peer: Peer) -> None:
        if not peer.is_controller:
            text = f"{peer.host_name} joined as a host, not as a controller"
            raise Unanswerable(text, "holdfast leave; then join with a token for a controller")


async def _of_list(reading: Awaitable[None]) -> None:
    """Raises Unanswerable."""
    try:
        await reading
    except StoreAway as away:
        hint = "nothing was changed; try again, or at another controller"
        raise Unanswerable(f"the store is away: {away}", hint, AWAY) from None
