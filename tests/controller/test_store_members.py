"""A controller that is put out leaves the store's members, however far its joining came."""

import asyncio
from pathlib import Path

import pytest
from msgspec import structs

from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.controller.site_list import SiteList, utc_ms
from holdfast.controller.store_members import StoreMembers
from holdfast.facts.membership import CERTIFICATES, Issued
from holdfast.facts.settings import Settings
from holdfast.ports.answers import Unanswerable
from holdfast.ports.store import StoreAway, Txn
from tests.controller.etcd_in_memory import EtcdInMemory
from tests.controller.joining_house import ADDRESS, House, run

FIRST = f"https://{ADDRESS}:2380"
H2 = "10.0.0.2"


async def begin(house: House, name: str = "h2", address: str = H2, host: str = "") -> None:
    """As far as /v1/member: a certificate, and a place in the store without a vote."""
    token = await house.token(controller=True)
    host = host or f"id{name}"
    await house.join(token, name, controller=True, addresses=[address], host=host)
    peer = house.peer(name, (address,), is_controller=True)
    await house.joining.member({"address": address}, peer)


async def join_whole(house: House, name: str = "h2", address: str = H2, host: str = "") -> None:
    await begin(house, name, address, host)
    peer = house.peer(name, (address,), is_controller=True)
    await house.joining.joined({"address": address, "planes": {"a": address}}, peer)


def test_a_controller_joins_and_leaves(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await join_whole(house)
        assert house.etcd.voters == [FIRST, f"https://{H2}:2380"]
        told = await house.joining.leave({}, house.peer("h2", (H2,), is_controller=True))
        assert (told["controllers"], told["store"]) == (["h1"], "etcd")
        assert house.etcd.voters == [FIRST]

    run(tmp_path, story)


@pytest.mark.parametrize("is_voter", [False, True])
def test_one_that_failed_while_it_joined_is_put_out_of_the_store(
    tmp_path: Path, is_voter: bool
) -> None:
    """It is not in the list of controllers yet: only its certificate says where it is."""

    async def story(house: House) -> None:
        await begin(house)
        if is_voter:
            house.etcd.promote(f"https://{H2}:2380", 0)
        await house.ask("certificate-revoke", name="h2", reason="again")
        assert (house.etcd.voters, house.etcd.learners) == ([FIRST], [])
        await begin(house, "h3", "10.0.0.3")

    run(tmp_path, story)


def test_one_that_failed_may_leave_by_itself(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await begin(house)
        await house.joining.leave({}, house.peer("h2", (H2,), is_controller=True))
        assert house.etcd.learners == []

    run(tmp_path, story)


def test_what_was_left_in_the_store_goes_when_it_is_revoked_once_more(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await begin(house)
        [one] = house.issued("h2")
        await house.ask("certificate-revoke", name=one.serial, reason="by its serial alone")
        assert house.etcd.learners == [f"https://{H2}:2380"]
        await house.ask("certificate-revoke", name="h2", reason="again")
        assert house.etcd.learners == []

    run(tmp_path, story)


def test_a_member_at_an_address_that_another_host_has_now_stays(tmp_path: Path) -> None:
    """The machine burnt, and a new one has its address: the old one is revoked once more."""

    async def story(house: House) -> None:
        await join_whole(house, "h2")
        await house.ask("certificate-revoke", name="h2", reason="it burnt")
        await join_whole(house, "h3", H2)
        await house.ask("certificate-revoke", name="h2", reason="to be sure")
        assert house.etcd.voters == [FIRST, f"https://{H2}:2380"]
        assert sorted(house.joining.members.controllers) == ["h1", "h3"]

    run(tmp_path, story)


def test_a_controller_installed_anew_stays_when_the_old_identity_is_revoked(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await join_whole(house, "h2", host="idold")
        await house.ask("certificate-revoke", name="h2", reason="installed anew")
        await join_whole(house, "h2", host="idnew")
        await house.ask("certificate-revoke", name="idold", reason="to be sure")
        assert house.etcd.voters == [FIRST, f"https://{H2}:2380"]
        assert sorted(house.joining.members.controllers) == ["h1", "h2"]

    run(tmp_path, story)


def test_the_store_of_a_host_without_one_is_not_asked(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await house.join(await house.token(), "h4")
        house.etcd.is_away = True
        await house.ask("certificate-revoke", name="h4", reason="sold")
        assert house.issued("h4") == []

    run(tmp_path, story)


class Hesitant(StoreInMemory):
    """It loses so many changes, as an etcd does whose members are just choosing a leader."""

    losses = 0

    async def txn(self, **asked: object) -> Txn:
        if self.losses:
            self.losses -= 1
            raise StoreAway("no leader")
        return await super().txn(**asked)  # type: ignore[arg-type]


def test_who_has_its_vote_comes_into_the_list_though_the_store_hesitates(tmp_path: Path) -> None:
    stores: list[Hesitant] = []

    def make() -> Hesitant:
        stores.append(Hesitant())
        return stores[-1]

    async def story(house: House) -> None:
        await begin(house)
        stores[0].losses = 1
        peer = house.peer("h2", (H2,), is_controller=True)
        told = await house.joining.joined({"address": H2, "planes": {}}, peer)
        assert [one["name"] for one in told["site"]["controllers"]] == ["h1", "h2"]

    run(tmp_path, story, make_store=make)


def test_who_stands_in_the_way_is_named() -> None:
    """Etcd takes one learner at a time: which one it is, and how it is put out."""

    async def story(has_failed: bool) -> Unanswerable:
        site = SiteList(StoreInMemory())
        etcd = EtcdInMemory(ADDRESS)
        members = StoreMembers(Settings(), site, lambda _endpoints: etcd, limit_s=0)
        h2 = Issued(
            serial="2",
            host="idh2",
            host_name="h2",
            is_controller=True,
            addresses=(H2,),
            made_utc_ms=1,
            ends_utc_ms=utc_ms() + 60_000,
        )
        if has_failed:
            h2 = structs.replace(h2, revoked_utc_ms=2)
        await site.change(CERTIFICATES, h2.serial, Issued, lambda _held: h2)
        await members.add(H2)
        with pytest.raises(Unanswerable) as caught:
            await members.add("10.0.0.3")
        return caught.value

    for has_failed in (False, True):
        told = asyncio.run(story(has_failed))
        assert "h2 (10.0.0.2) has not finished joining as a controller" in str(told)
        assert "holdfast ca certificate revoke h2 --reason again" in told.hint
