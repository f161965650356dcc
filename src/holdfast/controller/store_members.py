"""Who belongs to the site's etcd: a controller gets a place in it, a vote, and loses both."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

from holdfast.adapters.drivers.etcd_members import EtcdMembers, MembersAway
from holdfast.controller.site_list import SiteList
from holdfast.facts.membership import Issued, StoreMember, peer_url, store_endpoints
from holdfast.facts.settings import ControllerPlace, Settings
from holdfast.ports.answers import Unanswerable

MEMBER_LIMIT_S = 30.0
Reach = Callable[[tuple[str, ...]], EtcdMembers]
Said = TypeVar("Said")


class StoreMembers:
    """Each raises Unanswerable where etcd does not answer, or refuses."""

    def __init__(
        self, settings: Settings, site: SiteList, reach: Reach, limit_s: float = MEMBER_LIMIT_S
    ) -> None:
        self._settings, self._site, self._reach, self._limit_s = settings, site, reach, limit_s

    async def add(self, address: str) -> list[StoreMember]:
        """Without a vote yet: it learns what the others know. All members, the new one too."""
        url = peer_url(address)

        def add(etcd: EtcdMembers) -> list[StoreMember]:
            try:
                return etcd.add_learner(url, self._limit_s)
            except MembersAway:
                self._refuse_beside(etcd.members())
                raise

        return await self._of_store(add)

    async def promote(self, address: str) -> None:
        await self._of_store(lambda etcd: etcd.promote(peer_url(address), self._limit_s))

    async def put_out(self, host: str, place: ControllerPlace | None) -> None:
        """`place`: where the list of controllers says that it is. One whose joining failed is not
        in that list, and etcd may have it all the same, even with a vote: its certificates, also
        those that ended, say where. What is another controller's now is left alone."""
        named = {place.address} if place else set()
        listed = {one.address for one in self._site.controllers.values() if one != place}
        left = self._certified(host) - self._certified_to_others(host) - listed
        urls = {peer_url(address) for address in named | left}
        if not urls:
            return

        def remove(etcd: EtcdMembers) -> None:
            for member in etcd.members():
                if member.peer_url in urls:
                    etcd.remove(member.id, self._limit_s)

        await self._of_store(remove)

    def _certified(self, host: str) -> set[str]:
        issued = self._site.issued.values()
        return _addresses(one for one in issued if one.host == host)

    def _certified_to_others(self, host: str) -> set[str]:
        """Also by certificates that have expired: their etcd asks for another one, and runs on."""
        issued = self._site.issued.values()
        return _addresses(one for one in issued if one.host != host and not one.revoked_utc_ms)

    def _refuse_beside(self, members: Iterable[StoreMember]) -> None:
        """Etcd takes one learner at a time: say who it is, and how it makes way."""
        for address, name in self._learners(members):
            raise Unanswerable(
                f"{name} ({address}) has not finished joining as a controller,"
                " and the store takes one at a time",
                f"if it still joins, wait for it; if it failed: holdfast ca certificate revoke"
                f" {name} --reason again; then join once more",
            )

    def _learners(self, members: Iterable[StoreMember]) -> list[tuple[str, str]]:
        """Address and name. The newest certificate with the address counts."""
        urls = {one.peer_url for one in members if one.is_learner}
        issued = sorted(self._site.issued.values(), key=lambda one: -one.made_utc_ms)
        return [
            (address, one.host_name)
            for one in issued
            if one.is_controller
            for address in one.addresses
            if peer_url(address) in urls
        ]

    async def _of_store(self, ask: Callable[[EtcdMembers], Said]) -> Said:
        listed = store_endpoints(self._site.controllers.values())
        etcd = self._reach(listed or self._settings.etcd_endpoints)
        try:
            return await asyncio.to_thread(ask, etcd)
        except MembersAway as error:
            text = f"the store's members cannot be changed: {error}"
            raise Unanswerable(text, "see that every controller's store runs; then again") from None


def _addresses(issued: Iterable[Issued]) -> set[str]:
    return {address for one in issued if one.is_controller for address in one.addresses}
