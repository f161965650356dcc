"""Fence devices through the API: who may, and that a secret which came in never goes out."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from holdfast.facts.roles import Role
from holdfast.ports.fencer import PowerState
from tests.controller.fake_agent import FakeAgent, wait_for
from tests.controller.fake_fencer import SECRET, FakeFencer
from tests.controller.test_fencing import IPMI, written
from tests.faces.api.site import api

SETS: list[Any] = [
    {"json": IPMI},
    {"json": {**IPMI, "secrets": SECRET}},
    {"json": {**IPMI, "secrets": {"password": [SECRET]}}},
    {"json": {**IPMI, "passwd": SECRET}},
    {"json": {**IPMI, "agent": "fence_none"}},
    {"data": f'{{"secrets": {{"password": "{SECRET}"}}'},
]


@pytest.mark.timeout(60)
def test_a_secret_that_came_in_goes_out_nowhere_also_not_of_a_request_that_is_wrong(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def work() -> None:
        fencer = FakeFencer(repeats=True, bmcs={"10.0.9.4": PowerState.ON})
        async with api(tmp_path, fencer=fencer) as site:
            agent = FakeAgent(tmp_path / "run" / "controller.sock")
            async with agent.link(), site.there(await site.token(Role.ADMINISTER)) as session:
                registry = site.controller.registry
                await wait_for(lambda: registry.known("host-a") is not None)
                for number, sent in enumerate(SETS):
                    async with session.put("/v1/hosts/host-a/fence", **sent) as answer:
                        assert (answer.status == 200) is (number == 0), number
                        assert SECRET not in await answer.text()
                assert registry.fencing("host-a").devices[0].secrets == {"password": SECRET}
                for path in ("fences", "hosts", "hosts/host-a", "status", "audit", "events"):
                    async with session.get(f"/v1/{path}") as answer:
                        assert answer.status == 200
                        assert SECRET not in await answer.text(), path

    asyncio.run(work())
    assert [n for n, data in written(tmp_path / "state").items() if SECRET.encode() in data] == []
    assert SECRET not in caplog.text


@pytest.mark.timeout(60)
def test_only_who_administers_says_how_a_host_is_fenced_and_that_one_is_dead(
    tmp_path: Path,
) -> None:
    """Its own certificate lets a host see, and not even where the BMCs of all others are."""

    async def work() -> None:
        async with api(tmp_path) as site:
            certificate = site.certify("h7")
            async with site.there(certificate=certificate) as session:
                assert (await session.get("/v1/hosts")).status == 200
                assert (await session.get("/v1/fences")).status == 403
            async with site.there(await site.token(Role.OPERATE)) as session:
                assert (await session.get("/v1/fences")).status == 200
                for method, path in (
                    ("PUT", "fence"),
                    ("DELETE", "fence"),
                    ("PUT", "mode"),
                    ("POST", "confirm-dead"),
                ):
                    async with session.request(method, f"/v1/hosts/h7/{path}", json={}) as answer:
                        assert answer.status == 403, path
                        assert "needs administer" in (await answer.json())["error"]

    asyncio.run(work())
