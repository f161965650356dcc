"""Each route with each role: who may, who may not, and what of it is written down."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from holdfast.controller.questions import CHANGES
from holdfast.faces.api import shapes
from holdfast.faces.api.openapi import fields
from holdfast.faces.api.routes import ROUTES, Route
from holdfast.facts.events import Change
from holdfast.facts.roles import Role
from tests.faces.api.site import Api, api

NOBODY = None
ASKING = [route for route in ROUTES if route.question]


def sensible(route: Route) -> dict[str, Any]:
    """Arguments of the right types, of things that are not there."""
    examples = {"string": "nothing", "integer": 1, "number": 1.0, "boolean": False}
    return {
        name: schema.get("enum", [examples.get(str(schema.get("type")), "nothing")])[0]
        for name, (schema, is_required) in fields(route.takes).items()
        if is_required
    }


async def knock(session: aiohttp.ClientSession, route: Route, **more: Any) -> tuple[int, Any]:
    args = {**sensible(route), **more}
    body = {name: value for name, value in args.items() if name not in route.parameters}
    asked: Any = {"json": body} if route.is_change else {"params": body}
    async with session.request(route.method, route.fill(args), **asked) as answer:
        is_open_end = route.is_stream and answer.status == 200
        return answer.status, None if is_open_end else await answer.json()


@pytest.mark.timeout(120)
def test_each_route_opens_to_its_role_and_those_above_it(tmp_path: Path) -> None:
    async def try_all(site: Api, role: Role | None) -> None:
        token = await site.token(role) if role else ""
        async with site.there(token) as session:
            for route in ROUTES:
                status, told = await knock(session, route)
                where = f"{route.method} {route.path} as {role}"
                if route.role is None:
                    assert status == 200, where
                elif role is NOBODY:
                    assert (status, told["code"]) == (401, 4), where
                elif role.may(route.role):
                    assert status not in (401, 403, 500), f"{where}: {told}"
                else:
                    assert status == 403, f"{where}: {told}"
                    assert f"needs {route.role}" in told["error"], where

    async def work() -> None:
        async with api(tmp_path) as site:
            for role in (NOBODY, *Role):
                await try_all(site, role)

    asyncio.run(work())


def test_the_table_names_every_change_and_every_role() -> None:
    for route in ASKING:
        assert (route.question in CHANGES) == route.is_change, route.path
        assert route.role is not None, route.path
        assert not route.is_change or route.role is not Role.SEE, route.path
    paths = [(route.method, route.path) for route in ROUTES]
    assert len(set(paths)) == len(paths)
    assert {route.question for route in ROUTES} >= CHANGES


@pytest.mark.parametrize(
    ("question", "args", "outcome"),
    [
        ("disarm", {"reason": "disk swap"}, "done"),
        ("arm", {}, "done"),
        ("group-forget", {"name": "vnf"}, "refused"),
        ("api-token-create", {"name": "graf", "role": "see"}, "done"),
    ],
)
def test_a_change_is_written_down_with_who_and_what_came_of_it(
    tmp_path: Path, question: str, args: dict[str, Any], outcome: str
) -> None:
    async def work() -> None:
        async with api(tmp_path) as site:
            token = await site.token(Role.ADMINISTER)
            route = next(one for one in ROUTES if one.question == question)
            async with site.there(token) as session:
                await knock(session, route, **args)
                async with session.get("/v1/audit") as answer:
                    told = (await answer.json())["changes"]
            [change] = msgspec.convert(told, list[Change])
            assert (change.what, change.outcome) == (question, outcome)
            assert (change.who, change.role) == ("token the-administer", "administer")
            assert change.origin == "127.0.0.1"
            assert args.items() <= change.args.items()
            assert token not in msgspec.json.encode(change).decode()
            assert "token" not in change.args
            found = site.controller.events.newest_ones(3).events
            assert any(b'"kind":"change"' in raw for _, raw in found)
            file = tmp_path / "state/controller/audit/audit.jsonl"
            lines = [
                msgspec.json.decode(raw, type=Change) for raw in file.read_bytes().splitlines()
            ]
            assert [line.outcome for line in lines] == ["under way", outcome]
            assert file.stat().st_mode & 0o077 == 0

    asyncio.run(work())


def test_who_tries_what_they_may_not_is_written_down(tmp_path: Path) -> None:
    async def work() -> None:
        async with api(tmp_path) as site:
            async with site.there(await site.token(Role.OPERATE)) as session:
                gone = {"old_host_is_gone": "I saw it burn"}
                async with session.put("/v1/vms/web-1/protection", json=gone) as answer:
                    assert answer.status == 403
                    assert "needs administer" in (await answer.json())["error"]
            async with site.there(await site.token(Role.SEE)) as session:
                assert (await session.post("/v1/arm")).status == 403
            told = await site.controller.audit.newest(10)
            assert [(one.what, one.outcome, one.who) for one in told] == [
                ("protect", "not permitted", "token the-operate"),
                ("arm", "not permitted", "token the-see"),
            ]

    asyncio.run(work())


def test_answers_have_the_shapes_that_are_documented(tmp_path: Path) -> None:
    """Of a site without VMs; those with some are in test_shapes."""

    async def work() -> None:
        async with api(tmp_path) as site, site.here() as session:
            for path in ("status", "audit", "events", "health", "site", "certificates/ca"):
                route = next(one for one in ROUTES if one.path == f"/v1/{path}")
                async with session.get(route.path) as answer:
                    told = await answer.json()
                    assert answer.status == 200, told
                msgspec.convert(told, route.gives)
                missing = set(told) - set(route.gives.__struct_fields__)
                assert not missing, f"{path} says more: {missing}"
            for route in (one for one in ROUTES if one.rows and one.question):
                async with session.get(route.path) as answer:
                    told = await answer.json()
                    assert answer.status == 200, told
                    assert set(told) == {route.rows, "next"}
                    if route.gives is not shapes.Anything:
                        msgspec.convert(told[route.rows], list[route.gives])  # type: ignore[name-defined]

    asyncio.run(work())
