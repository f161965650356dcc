"""Answers about VMs and hosts have the shapes that are documented, key by key."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from holdfast.faces.api.routes import route_for
from holdfast.facts import wire
from holdfast.facts.incidents import IncidentState
from tests.controller.fake_agent import FakeAgent, report, summary, wait_for
from tests.controller.fake_fencer import FakeFencer
from tests.controller.test_fencing import IPMI
from tests.controller.test_questions import incident
from tests.faces.api.site import Api, api

PLAIN = msgspec.to_builtins
RECORD = {"n": 1, "at": 1, "utc_ms": 1, "kind": "input", "body": {"is": "Woke"}}
ASKED: list[tuple[str, dict[str, Any]]] = [
    ("status", {}),
    ("hosts", {}),
    ("host", {"host": "host-a"}),
    ("vms", {}),
    ("vm", {"vm": "web-1"}),
    ("alarms", {}),
    ("alarms", {"include_cleared": "true"}),
    ("incidents", {}),
    ("incident", {"incident": "web-1"}),
    ("explain", {"incident": "web-1"}),
    ("explain", {}),
    ("last-words", {"vm": "web-1"}),
    ("group", {"name": "default"}),
    ("groups", {}),
    ("group-set", {"name": "vnf", "level": 2}),
    ("group-forget", {"name": "vnf"}),
    ("protect", {"vm": "web-1"}),
    ("unprotect", {"vm": "web-1"}),
    ("disarm", {"reason": "x"}),
    ("arm", {}),
    ("api-tokens", {}),
    ("fence-set", {"host": "host-a", **IPMI}),
    ("fence-rehearse", {"host": "host-a"}),
    ("fence-rehearse", {}),
    ("fence-list", {}),
    ("guarantee", {}),
    ("guarantee", {"hosts": "2"}),
    ("host-mode", {"host": "host-a", "mode": "act"}),
    ("host-confirm-dead", {"host": "host-a"}),
    ("fence-clear", {"host": "host-a"}),
    ("events", {}),
    ("audit", {}),
]


def strange(told: Any, kind: Any) -> set[str]:
    """Keys that the documented type does not name."""
    if isinstance(told, dict) and isinstance(kind, type) and issubclass(kind, Struct):
        return set(told) - set(kind.__struct_fields__)
    return set()


async def ask(site: Api, question: str, args: dict[str, Any]) -> Any:
    route = route_for(question, args)
    rest = {name: value for name, value in args.items() if name not in route.parameters}
    more: Any = {"json": rest} if route.is_change else {"params": rest}
    async with (
        site.here() as session,
        session.request(route.method, route.fill(args), **more) as answer,
    ):
        told = await answer.json()
        assert answer.status == 200, told
        return told


@pytest.mark.timeout(120)
def test_every_answer_fits_its_type_and_says_nothing_beside_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with api(tmp_path, fencer=FakeFencer()) as site:
            agent = FakeAgent(tmp_path / "run" / "controller.sock")
            agent.answers["grant"] = lambda q: wire.Reply(
                id=q.id, data={"protection": q.args["protection"], "domain": {"name": "web-1"}}
            )
            story = {"incident": PLAIN(incident(1)), "records": [RECORD]}
            agent.answers["explain"] = lambda q: wire.Reply(id=q.id, data=story)
            agent.answers["last-words"] = lambda q: wire.Reply(id=q.id, data={"folder": "/x"})
            async with agent.link():
                await agent.send(wire.Inventory(vms=(summary(),)))
                await wait_for(site.controller.agents.all_vms)
                await agent.tell(1, alarm=report(1))
                await agent.tell(2, incident=incident(1, IncidentState.OPEN))
                await agent.wait_answered(2)
                for question, args in ASKED:
                    told = await ask(site, question, args)
                    route = route_for(question, args)
                    if not route.rows:
                        msgspec.convert(told, route.gives)
                        assert not strange(told, route.gives), question
                        continue
                    rows = told[route.rows]
                    assert rows or question == "api-tokens", question
                    for row in rows:
                        msgspec.convert(row, route.gives)
                        assert not strange(row, route.gives), question
                told = await ask(site, "explain", {"incident": "web-1"})
                assert told["owner"] == "agent of host-a"
                assert told["names"] == {"host-a": "host-a"}
                assert told["records"][0] == {**RECORD, "from": "agent of host-a"}
                shown = await ask(site, "host", {"host": "host-a"})
                assert shown["host"]["is_up"]
                assert [vm["name"] for vm in shown["vms"]] == ["web-1"]
                assert [one["alarm"]["condition"] for one in shown["alarms"]] == ["vm-gone"]

    asyncio.run(work())


def test_lists_come_page_by_page_with_nothing_twice(tmp_path: Path) -> None:
    async def work() -> None:
        async with api(tmp_path) as site:
            agent = FakeAgent(tmp_path / "run" / "controller.sock")
            async with agent.link():
                vms = tuple(summary(f"vm-{n}", f"web-{n}") for n in range(25))
                await agent.send(wire.Inventory(vms=vms))
                await wait_for(site.controller.agents.all_vms)
                seen: list[str] = []
                after: dict[str, str] = {}
                while True:
                    told = await ask(site, "vms", {"limit": "10", **after})
                    seen += [vm["vm"] for vm in told["vms"]]
                    if told["next"] is None:
                        break
                    after = {"after": told["next"]}
                assert sorted(seen) == sorted(vm.vm for vm in vms)
                assert len(seen) == 25

    asyncio.run(work())
