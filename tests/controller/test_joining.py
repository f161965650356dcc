"""Hosts join by a token, once; what comes twice, late or copied is refused in words."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from holdfast.adapters.drivers.authority import Authority, Subject, make_key_and_request
from holdfast.adapters.drivers.certificates import Certificates, Peer, write_private
from holdfast.adapters.drivers.shelf import Shelf
from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.controller.agents import Agents, Link
from holdfast.controller.join_tokens import JoinTokens
from holdfast.controller.joining import Joining
from holdfast.controller.site_list import SiteList
from holdfast.controller.site_questions import SiteQuestions
from holdfast.facts import wire
from holdfast.facts.membership import JOINS, Issued, JoinToken
from holdfast.facts.settings import ControllerPlace, Plane, Settings
from holdfast.ports.answers import Unanswerable

ADDRESS = "10.0.0.1"


class House:
    """One controller, h1, with a site list in memory."""

    def __init__(self, folder: Path, store: str = "etcd") -> None:
        authority, other = Authority.make("site"), Authority.make("store")
        key, request = make_key_and_request()
        me = Subject(host="a1", host_name="h1", addresses=(ADDRESS,), is_controller=True)
        for name, text in {
            "ca.crt": authority.certificate,
            "ca.key": authority.key,
            "host.key": key,
            "host.crt": authority.sign(request, me).pem,
            "store-ca.crt": other.certificate,
            "store-ca.key": other.key,
        }.items():
            write_private(folder / "tls" / name, text)
        place = ControllerPlace(name="h1", address=ADDRESS, planes={"a": ADDRESS, "b": "10.1.0.1"})
        settings = Settings(
            tls_dir=str(folder / "tls"),
            store=store,
            controllers=(place,),
            planes=(Plane(name="a", address=ADDRESS),),
        )
        self.certificates = Certificates(folder / "tls")
        self.shelf = Shelf(folder / "kept.db")
        self.agents = Agents(self.shelf)
        self.store = StoreInMemory()
        self.bound: list[str] = []
        self.forgotten: list[str] = []
        self.left: list[str] = []
        self.joining = Joining(
            settings=settings,
            certificates=self.certificates,
            store=self.store,
            agents=self.agents,
            bound_vms=lambda _host: self.bound,
            forget_host=self._forget,
            host_left=self.left.append,
        )

    async def _forget(self, host: str) -> None:
        self.forgotten.append(host)

    async def ask(self, name: str, /, **args: Any) -> Any:
        handler = SiteQuestions(self.joining).handlers()[name]
        return await handler(wire.Question(id=1, name=name, args=args, by="anna"))

    async def token(self, **args: Any) -> str:
        return str((await self.ask("join-new", **args))["token"])

    async def join(self, token: str, name: str = "h4", /, **said: Any) -> dict[str, Any]:
        request = make_key_and_request()[1]
        asked = {
            "token": token,
            "request": request,
            "host": f"id{name}",
            "host_name": name,
            "addresses": ["10.0.0.4"],
            **said,
        }
        return await self.joining.join(asked)

    def peer(self, name: str, names: tuple[str, ...] = (), is_controller: bool = False) -> Peer:
        return Peer(
            host=f"id{name}",
            host_name=name,
            is_controller=is_controller,
            serial="1",
            ends_utc_ms=1,
            names=names,
        )

    async def renew(self, peer: Peer, /, **said: Any) -> tuple[str, ...]:
        """The addresses that the new certificate holds, as the site's list says."""
        before = {one.serial for one in self.issued(peer.host_name)}
        await self.joining.renew({"request": make_key_and_request()[1], **said}, peer)
        [new] = [one for one in self.issued(peer.host_name) if one.serial not in before]
        return new.addresses

    def addresses(self, name: str) -> tuple[str, ...]:
        """Of its newest certificate."""
        return self.issued(name)[-1].addresses

    def issued(self, name: str) -> list[Issued]:
        found = [one for one in self.joining.members.valid() if one.host_name == name]
        return sorted(found, key=lambda one: one.made_utc_ms)


Story = Callable[[House], Coroutine[Any, Any, None]]


def run(folder: Path, story: Story, store: str = "etcd") -> None:
    async def told() -> None:
        house = House(folder, store)
        try:
            await house.joining.look()
            await story(house)
        finally:
            house.shelf.close()

    asyncio.run(told())


def refused(folder: Path, story: Story, store: str = "etcd") -> tuple[str, str]:
    with pytest.raises(Unanswerable) as caught:
        run(folder, story, store)
    return str(caught.value), caught.value.hint


def test_a_host_joins(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        told = await house.join(await house.token())
        assert told["ca"] == house.joining.ca()["ca"]
        assert "keys" not in told
        assert told["site"]["controllers"][0]["address"] == ADDRESS
        [row] = [one for one in await house.ask("certificates") if one["host_name"] == "h4"]
        assert (row["host"], row["is_controller"], row["revoked_utc_ms"]) == ("idh4", False, 0)
        [used] = await house.ask("joins")
        assert (used["state"], used["used_by"], used["made_by"]) == ("used", "h4", "anna")
        assert "secret" not in str(used)

    run(tmp_path, story)


def test_a_controller_gets_the_keys(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        told = await house.join(await house.token(controller=True), controller=True)
        assert set(told["keys"]) == {"ca.key", "store-ca.crt", "store-ca.key"}

    run(tmp_path, story)


def test_a_token_serves_once(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        token = await house.token()
        await house.join(token)
        await house.join(token, "h5")

    text, hint = refused(tmp_path, story)
    assert "was used already, by h4: each serves once" in text
    assert "holdfast ca token new" in hint


def test_two_hosts_at_once_cannot_use_one_token(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        token = await house.token()
        both = await asyncio.gather(
            house.join(token, "h4"), house.join(token, "h5"), return_exceptions=True
        )
        assert sum(isinstance(one, Unanswerable) for one in both) == 1
        assert sum(isinstance(one, dict) for one in both) == 1

    run(tmp_path, story)


def test_a_token_expires(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        token = await house.token()

        def late(held: JoinToken | None) -> JoinToken | None:
            return held and structs.replace(held, until_utc_ms=1)

        await house.joining.members.change(JOINS, token.partition(".")[0], JoinToken, late)
        await house.join(token)

    assert "has expired" in refused(tmp_path, story)[0]


def test_a_revoked_token_is_named(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        token = await house.token()
        await house.ask("join-revoke", id=token.partition(".")[0])
        await house.join(token)

    assert "was revoked" in refused(tmp_path, story)[0]


@pytest.mark.parametrize("token", ["", "x", "00000000.secret.00", "../../x.y.z", "a.b.c.d"])
def test_a_wrong_token_is_none_of_this_site(tmp_path: Path, token: str) -> None:
    async def story(house: House) -> None:
        await house.join(token)

    assert "this token is none of this site" in refused(tmp_path, story)[0]


def test_a_right_token_with_a_wrong_secret_is_not_spent(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        token = await house.token()
        word, _, rest = token.split(".")
        with pytest.raises(Unanswerable, match="none of this site"):
            await house.join(f"{word}.guessed.{rest}")
        await house.join(token)

    run(tmp_path, story)


def test_a_token_for_a_host_makes_no_controller(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await house.join(await house.token(), controller=True)

    text, hint = refused(tmp_path, story)
    assert "is for a host, not for a controller" in text
    assert "--controller" in hint


def test_a_site_with_its_store_in_a_file_takes_no_second_controller(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await house.join(await house.token(), controller=True)

    text, hint = refused(tmp_path, story, store="sqlite")
    assert "a file that others cannot share" in text
    assert "holdfast init --controllers 3" in hint


def test_a_copied_disk_is_not_taken_in(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await house.join(await house.token(), "h4")
        await house.join(await house.token(), "h5", host="idh4")

    text, hint = refused(tmp_path, story)
    assert "this host's identity is that of h4: was its disk copied?" in text
    assert "holdfast leave --alone" in hint


def test_a_host_that_is_linked_is_not_joined_again(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await house.join(await house.token(), "h4")

        async def send(_frame: wire.Frame) -> None:
            return

        hello = wire.Hello(
            version=wire.VERSION, host="idh4", host_name="h4", boot="b", state_id="s", stream="x"
        )
        house.agents.greeted(hello, Link(send))
        await house.join(await house.token(), "h4", host="another")

    assert "its agent is linked now" in refused(tmp_path, story)[0]


def test_joining_again_revokes_what_was_before(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await house.join(await house.token(), "h4")
        await house.join(await house.token(), "h4")
        rows = [one for one in await house.ask("certificates") if one["host_name"] == "h4"]
        assert [bool(one["revoked_utc_ms"]) for one in rows] == [True, False]
        assert rows[0]["serial"] in house.joining.members.revoked

    run(tmp_path, story)


def test_a_token_is_given_back_when_nothing_came_of_it(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        token = await house.token()
        with pytest.raises(Unanswerable, match="no request for a certificate"):
            await house.join(token, request="nonsense")
        await house.join(token)

    run(tmp_path, story)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"host_name": "h 4"}, "a host's name has letters"),
        ({"host": "../x"}, "a host id is a word"),
        ({"addresses": ["x"]}, "addresses are IP addresses"),
        ({"version": 99}, "speaks version"),
        ({"token": 5}, "cannot be understood"),
        ({"addresses": 5}, "cannot be understood"),
        ({"host_name": "10.0.0.9"}, "a host's name is no address"),
    ],
)
def test_nonsense_is_refused_before_a_token_is_spent(
    tmp_path: Path, said: dict[str, Any], words: str
) -> None:
    async def story(house: House) -> None:
        token = await house.token()
        with pytest.raises(Unanswerable, match=words):
            await house.join(token, **said)
        assert (await house.ask("joins"))[0]["state"] == "open"

    run(tmp_path, story)


def test_who_leaves_is_forgotten_and_its_certificate_revoked(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await house.join(await house.token(), "h4")
        await house.joining.leave({}, house.peer("h4"))
        assert house.forgotten[0] == "idh4"
        assert house.left == ["idh4"]
        [row] = [one for one in await house.ask("certificates") if one["host_name"] == "h4"]
        assert row["reason"] == "it left"
        assert row["serial"] in house.certificates.revoked

    run(tmp_path, story)


def test_who_holds_protected_vms_may_not_leave(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.bound = ["web-1"]
        await house.join(await house.token(), "h4")
        await house.joining.leave({}, house.peer("h4"))

    text, hint = refused(tmp_path, story)
    assert "protected VMs run on h4: web-1" in text
    assert hint == "holdfast vm unprotect web-1"


def test_the_only_controller_may_not_leave(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await house.joining.leave({}, house.certificates.me)

    assert "is the site's only controller" in refused(tmp_path, story)[0]


def test_a_host_is_put_out_by_name(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await house.join(await house.token(), "h4")
        done = await house.ask("certificate-revoke", name="h4", reason="stolen")
        assert len(done["revoked"]) == 1
        assert set(done["revoked"]) <= house.certificates.revoked
        assert house.left == ["idh4"]
        with pytest.raises(Unanswerable, match="there is no host or certificate 'h9'"):
            await house.ask("certificate-revoke", name="h9", reason="x")

    run(tmp_path, story)


def test_a_host_that_joined_again_under_a_new_id_is_put_out_by_name(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        for host in ("idold", "idmiddle", "idnew"):
            await house.join(await house.token(), "h4", host=host)
        await house.ask("certificate-revoke", name="h4", reason="sold")
        assert "idnew" in house.left
        rows = [one for one in await house.ask("certificates") if one["host_name"] == "h4"]
        assert all(one["revoked_utc_ms"] for one in rows)

    run(tmp_path, story)


def test_tokens_hold_no_secret_in_the_store(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        token = await house.token()
        secret = token.split(".")[1]
        for held in (await house.store.list("")).values():
            assert secret.encode() not in held.value

    run(tmp_path, story)


def test_a_token_names_its_site(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        token = await JoinTokens(SiteList(house.store), "f" * 64).make(
            is_controller=False, for_s=60, by="anna"
        )
        assert token["token"].endswith("." + "f" * 64)

    run(tmp_path, story)


@pytest.mark.parametrize("address", [ADDRESS, f"::ffff:{ADDRESS}", "10.1.0.1"])
def test_a_host_gets_no_certificate_for_a_controllers_address(tmp_path: Path, address: str) -> None:
    async def story(house: House) -> None:
        token = await house.token()
        with pytest.raises(Unanswerable, match="is the address of h1, a controller"):
            await house.join(token, addresses=["10.0.0.4", address])
        assert (await house.ask("joins"))[0]["state"] == "open"
        await house.join(token)
        with pytest.raises(Unanswerable, match="is the address of h1, a controller"):
            await house.renew(house.peer("h4"), addresses=[address])
        assert house.addresses("h4") == ("10.0.0.4",)

    run(tmp_path, story)


def test_an_address_that_many_hosts_have_stays_with_the_first(tmp_path: Path) -> None:
    bridge = "192.168.122.1"

    async def story(house: House) -> None:
        await house.join(await house.token(), "h4", addresses=["10.0.0.4", bridge])
        await house.join(await house.token(), "h5", addresses=["10.0.0.5", bridge])
        assert house.addresses("h4") == ("10.0.0.4", bridge)
        assert house.addresses("h5") == ("10.0.0.5",)
        await house.joining.leave({}, house.peer("h4"))
        assert await house.renew(house.peer("h5"), addresses=["10.0.0.5", bridge]) == (
            "10.0.0.5",
            bridge,
        )

    run(tmp_path, story)


def test_renewing_keeps_what_the_certificate_says(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        peer = house.peer("h4", ("h4", "localhost", "10.0.0.4", "2001:DB8::4"))
        assert await house.renew(peer) == ("10.0.0.4", "2001:db8::4")
        assert ADDRESS in await house.renew(house.certificates.me)

    run(tmp_path, story)


@pytest.mark.parametrize("said", [5, "10.0.0.4", {"a": 1}, [5], ["x"], ["10.0.0.4"] * 300])
def test_odd_addresses_are_refused_in_words(tmp_path: Path, said: Any) -> None:
    async def story(house: House) -> None:
        await house.renew(house.peer("h4"), addresses=said)

    assert "addresses" in refused(tmp_path, story)[0]


@pytest.mark.parametrize("name", ["H1", "H4"])
def test_names_are_told_apart_without_case(tmp_path: Path, name: str) -> None:
    async def story(house: House) -> None:
        await house.join(await house.token(), "h4")
        await house.join(await house.token(), name, addresses=["10.0.0.9"])

    text, hint = refused(tmp_path, story)
    assert f"{name} differs from it in case alone" in text
    assert "--name NAME" in hint


def test_a_host_does_not_take_the_name_of_a_controller(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await house.join(await house.token(), "h1")

    text, hint = refused(tmp_path, story)
    assert text == "h1 is the name of a controller of this site"
    assert "certificate revoke h1" in hint


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"address": ADDRESS}, f"{ADDRESS} is not in the certificate of h2"),
        ({"address": 5}, "addresses are IP addresses"),
        ({"address": "10.0.0.2", "planes": 5}, "planes must be an object"),
        ({"address": "10.0.0.2", "planes": [1]}, "planes must be an object"),
        ({"address": "10.0.0.2", "planes": {"a": 5}}, "addresses are IP addresses"),
        ({"address": "10.0.0.2", "planes": {"a": ADDRESS}}, f"{ADDRESS} is not in the certificate"),
    ],
)
def test_a_controllers_place_is_where_its_certificate_says(
    tmp_path: Path, said: dict[str, Any], words: str
) -> None:
    async def story(house: House) -> None:
        await house.joining.joined(said, house.peer("h2", ("h2", "10.0.0.2"), is_controller=True))

    assert words in refused(tmp_path, story)[0]
