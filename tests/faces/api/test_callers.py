"""Who asks: wrong and ended tokens, certificates of hosts and controllers, guessing."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec import structs

from holdfast.adapters.drivers.authority import Authority, Subject
from holdfast.adapters.drivers.certificates import Certificates
from holdfast.faces.api.callers import FAILURES_ALLOWED, FAILURES_WITHIN_S, Failures
from holdfast.facts.membership import CERTIFICATES, Issued
from holdfast.facts.roles import Role
from tests.controller.site import certify, issued_to
from tests.faces.api.site import api


def test_a_token_opens_what_its_role_says_until_it_is_revoked(tmp_path: Path) -> None:
    async def work() -> None:
        async with api(tmp_path) as site:
            token = await site.token(Role.SEE)
            async with site.there(token) as session:
                assert (await session.get("/v1/status")).status == 200
                [shown] = site.controller.tokens.all()
                assert shown.used_utc_ms is not None
                await site.controller.tokens.revoke("the-see")
                async with session.get("/v1/status") as answer:
                    assert answer.status == 401
                    assert (await answer.json())["error"] == "this token is not known"

    asyncio.run(work())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/tokens", {"name": "z", "role": "administer", "seconds": 0}),
        ("/v1/joins", {"for_s": 0}),
    ],
)
def test_a_token_that_is_to_last_no_time_is_refused(
    tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    """And not taken for one of which nothing was said: that lasts long."""

    async def work() -> None:
        async with (
            api(tmp_path) as site,
            site.here() as session,
            session.post(path, json=body) as answer,
        ):
            assert answer.status == 400
            assert "from 1 s to" in (await answer.json())["error"]

    asyncio.run(work())


def test_a_token_that_ended_says_so(tmp_path: Path) -> None:
    async def work() -> None:
        async with api(tmp_path) as site:
            token = await site.token(Role.SEE)
            held = site.controller.registry.tokens()["the-see"]
            ended = structs.replace(held, until_utc_ms=held.made_utc_ms - 1)
            await site.controller.registry.change(lambda: {"api-tokens/the-see": ended})
            async with site.there(token) as session, session.get("/v1/status") as answer:
                assert answer.status == 401
                assert (await answer.json())["error"] == "the token the-see has ended"

    asyncio.run(work())


def test_the_store_never_holds_what_opens(tmp_path: Path) -> None:
    async def work() -> None:
        async with api(tmp_path) as site:
            token = await site.token(Role.ADMINISTER)
            held = await site.controller.store.list("")
            secret = token.rpartition(".")[2].encode()
            assert len(secret) >= 43, "256 bits"
            assert any(key == "api-tokens/the-administer" for key in held)
            assert not any(secret in one.value for one in held.values())
            async with site.there(token) as session, session.get("/v1/tokens") as answer:
                text = await answer.text()
            assert "digest" not in text
            assert secret.decode() not in text

    asyncio.run(work())


@pytest.mark.parametrize(
    "said",
    [
        "Bearer",
        "Bearer ",
        "Bearer holdfast.the-see.wrong",
        "Bearer holdfast.nobody.wrong",
        "Bearer holdfast..",
        "Basic YW5uYTphbm5h",
        "Bearer " + "x" * 4_000,
        "Bearer h\u00f6ldfast.the-see.\u00e4",
    ],
)
def test_what_is_no_token_opens_nothing(tmp_path: Path, said: str) -> None:
    async def work() -> None:
        async with api(tmp_path) as site:
            await site.token(Role.SEE)
            headers = {"Authorization": said}
            async with (
                site.there() as session,
                session.get("/v1/status", headers=headers) as answer,
            ):
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert (await answer.json())["error"]

    asyncio.run(work())


def test_guessing_is_counted_and_slowed_and_harms_nobody_else(tmp_path: Path) -> None:
    async def work() -> None:
        async with api(tmp_path) as site:
            right = await site.token(Role.SEE)
            async with site.there("holdfast.the-see.wrong") as session:
                found = [(await session.get("/v1/status")).status for _ in range(14)]
                assert found == [401] * FAILURES_ALLOWED + [429] * 4
                async with session.get("/v1/status") as answer:
                    assert 0 < int(answer.headers["Retry-After"]) <= FAILURES_WITHIN_S
            async with site.there(right) as session:
                assert (await session.get("/v1/status")).status == 200

    asyncio.run(work())


def test_failures_are_forgotten_with_time_and_bounded_in_memory() -> None:
    now = [0.0]
    failures = Failures(lambda: now[0])
    for _ in range(FAILURES_ALLOWED):
        assert failures.wait_s("a") == 0
        failures.add("a")
    assert failures.wait_s("a") == FAILURES_WITHIN_S
    assert failures.wait_s("b") == 0
    now[0] = FAILURES_WITHIN_S + 1
    assert failures.wait_s("a") == 0
    for number in range(30_000):
        failures.add(str(number))
    assert len(failures._by_address) == 10_000
    assert failures.count == 30_000 + FAILURES_ALLOWED


def test_a_hosts_certificate_sees_and_a_controllers_administers(tmp_path: Path) -> None:
    async def work() -> None:
        async with api(tmp_path) as site:
            async with site.there(certificate=site.certify("h4")) as session:
                assert (await session.get("/v1/status")).status == 200
                async with session.post("/v1/arm") as answer:
                    assert answer.status == 403
                    assert "host h4 has the role see" in (await answer.json())["error"]
            controllers = site.certify("h2", is_controller=True)
            async with site.there(certificate=controllers) as session:
                headers = {"X-Holdfast-By": "bert"}
                assert (await session.post("/v1/arm", headers=headers)).status == 200
            assert [one.who for one in await site.controller.audit.newest(9)] == [
                "host h4",
                "bert on h2",
            ]

    asyncio.run(work())


def test_a_host_cannot_say_that_it_is_somebody_else(tmp_path: Path) -> None:
    async def work() -> None:
        async with api(tmp_path) as site:
            headers = {
                "X-Holdfast-By": "root",
                "X-Holdfast-Role": "administer",
                "X-Holdfast-From": "this host",
            }
            async with site.there(certificate=site.certify("h4")) as session:
                assert (await session.post("/v1/arm", headers=headers)).status == 403
            async with site.there() as session:
                assert (await session.post("/v1/arm", headers=headers)).status == 401

    asyncio.run(work())


def test_a_revoked_certificate_sees_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with api(tmp_path) as site:
            folder = site.certify("h4")
            async with site.there(certificate=folder) as session:
                assert (await session.get("/v1/status")).status == 200
            me, joining = Certificates(folder).me, site.controller.joining
            assert joining is not None
            issued = issued_to(me, revoked_utc_ms=2)
            await joining.members.change(CERTIFICATES, me.serial, Issued, lambda _: issued)
            await joining.look()
            async with (
                site.there(certificate=folder) as session,
                session.get("/v1/status") as answer,
            ):
                assert answer.status == 403
                assert (await answer.json())["error"] == "the certificate of h4 is revoked"
                async with session.post("/v1/leave", json={}) as refusal:
                    told = await refusal.json()
                assert told["error"] == "the certificate of h4 is revoked"
                assert "holdfast leave --alone" in told["hint"]
            async with site.there() as session, session.post("/v1/leave", json={}) as answer:
                assert (await answer.json())["hint"] == "only hosts of this site may ask this"

    asyncio.run(work())


def test_a_certificate_of_another_site_gets_no_byte(tmp_path: Path) -> None:
    async def work() -> None:
        async with api(tmp_path) as site:
            other = Authority.make("another site")
            folder = certify(tmp_path / "other", other, Subject("h4", "h4", ("127.0.0.1",)))
            async with site.there(certificate=folder) as session:
                with pytest.raises(aiohttp.ClientError):
                    await session.get("/v1/health")

    asyncio.run(work())


def test_on_the_host_itself_root_is_named_by_who_typed(tmp_path: Path) -> None:
    async def work() -> None:
        async with api(tmp_path) as site, site.here() as session:
            odd = "an\tna" + "x" * 200
            for by in ("anna", "", odd):
                assert (await session.post("/v1/arm", headers={"X-Holdfast-By": by})).status == 200
            who = [one.who for one in await site.controller.audit.newest(9)]
            assert who == ["anna", "root", "anna" + "x" * 59]

    asyncio.run(work())
