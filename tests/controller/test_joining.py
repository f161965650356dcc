"""Hosts join by a token, once; what comes twice, late or copied is refused in words."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from holdfast.controller.agents import Link
from holdfast.controller.join_tokens import JoinTokens
from holdfast.controller.site_list import SiteList
from holdfast.facts import wire
from holdfast.facts.membership import JOINS, JoinToken
from holdfast.ports.answers import Unanswerable
from tests.controller.joining_house import ADDRESS, House, refused, run


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
    assert hint.endswith("holdfast ca token new --controller")


def test_a_token_for_a_controller_is_not_spent_on_a_plain_host(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        token = await house.token(controller=True)
        with pytest.raises(Unanswerable, match="is for a controller, and this host") as refused:
            await house.join(token)
        assert refused.value.hint.startswith("type it again with --controller")
        assert house.issued("h4") == []
        await house.join(token, controller=True)
        await house.join(token, "h5", controller=True)

    text, hint = refused(tmp_path, story)
    assert "was used already, by h4" in text
    assert hint.endswith("holdfast ca token new --controller")


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
        await house.join(await house.token(), "h4")

    assert "its agent is linked now" in refused(tmp_path, story)[0]


def test_another_machine_does_not_take_a_name_that_a_host_has(tmp_path: Path) -> None:
    """Also while the other is away, as during a reboot: it would be put out by a wrong name."""

    async def story(house: House) -> None:
        await house.join(await house.token(), "h4")
        [before] = house.issued("h4")
        token = await house.token()
        with pytest.raises(Unanswerable, match="a host h4 already, of another identity") as caught:
            await house.join(token, "h4", host="another")
        assert "holdfast ca certificate revoke h4" in caught.value.hint
        assert house.issued("h4") == [before]
        await house.ask("certificate-revoke", name="h4", reason="it is gone")
        await house.join(token, "h4", host="another")

    run(tmp_path, story)


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
        ({"host_name": "h1."}, "a host's name has letters"),
        ({"host_name": "LocalHost"}, "is not localhost"),
        ({"addresses": ["0.0.0.0"]}, "no host has the address 0.0.0.0"),
        ({"addresses": ["::ffff:255.255.255.255"]}, "no host has the address"),
        ({"addresses": ["224.0.0.1"]}, "no host has the address"),
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


def test_whose_lease_is_open_may_not_leave(tmp_path: Path) -> None:
    """Nobody would grant it any more, and its watchdog is not petted by programs that are gone."""

    async def story(house: House) -> None:
        house.armed = {"idh4"}
        await house.join(await house.token(), "h4")
        await house.joining.leave({}, house.peer("h4"))

    assert "the lease of h4 is open" in refused(tmp_path, story)[0]


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


def test_what_a_host_told_ends_with_it_unless_another_has_its_name(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await house.join(await house.token(), "h4")
        await house.joining.look()
        assert house.ended == {}
        await house.ask("certificate-revoke", name="h4", reason="it burnt")
        assert house.ended == {"idh4": "h4"}
        await house.join(await house.token(), "h4", host="another")
        await house.joining.look()
        assert house.ended == {}, "what h4 tells now is another machine's"

    run(tmp_path, story)


def test_a_host_that_joined_again_under_a_new_id_is_put_out_by_name(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        for host in ("idold", "idmiddle", "idnew"):
            await house.join(await house.token(), "h4", host=host)
            if host != "idnew":
                await house.ask("certificate-revoke", name="h4", reason="installed anew")
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
