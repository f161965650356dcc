"""Questions to an agent whose link breaks fail with a reason, and leave no noise behind."""

import asyncio
import gc
from typing import Any

import pytest

from holdfast.adapters.simulated.shelf import ShelfInMemory
from holdfast.controller.agents import Agents, Link
from holdfast.facts import wire
from tests.controller.fake_agent import summary


def test_who_waits_for_an_answer_hears_that_the_agent_went_away() -> None:
    async def work() -> None:
        async def send(_: wire.Frame) -> None:
            asyncio.get_running_loop().call_soon(link.broke)

        link = Link(send)
        with pytest.raises(ConnectionError, match="went away"):
            await link.ask("vms", {}, by="test", term=1, limit_s=5.0)

    asyncio.run(work())


def test_a_link_that_breaks_while_it_is_asked_is_an_error_once() -> None:
    noise: list[dict[str, Any]] = []

    async def work() -> None:
        async def send(_: wire.Frame) -> None:
            link.broke()
            raise ConnectionResetError("cannot send")

        asyncio.get_running_loop().set_exception_handler(lambda _, what: noise.append(what))
        link = Link(send)
        with pytest.raises(ConnectionResetError):
            await link.ask("vms", {}, by="test", term=1, limit_s=5.0)
        gc.collect()

    asyncio.run(work())
    assert noise == []


async def _send(_: wire.Frame) -> None:
    pass


def hello(boot: str, host: str = "h1") -> wire.Hello:
    return wire.Hello(version=1, host=host, host_name=host, boot=boot, state_id="s", stream="x")


def test_what_comes_from_a_host_that_left_changes_nothing() -> None:
    agents, left = Agents(ShelfInMemory()), []
    agents.on_left = lambda agent: left.append(agent.host)
    link = Link(_send)
    gone = agents.greeted(hello("b1"), link)
    agents.forget("h1")
    agents.take_inventory(gone, (summary(),))  # It waited behind something slow.
    agents.left(gone, link)
    assert left == []
    assert agents.runner("vm-1") is None
    other = agents.greeted(hello("b2", "h2"), Link(_send))
    agents.take_inventory(other, (summary(),))
    assert agents.runner("vm-1") is other


def test_when_a_clones_link_breaks_the_agent_that_was_linked_before_greets_anew() -> None:
    closed: list[str] = []
    agents = Agents(ShelfInMemory())
    original = Link(_send, lambda: closed.append("original"))
    agent = agents.greeted(hello("b1"), original)
    clone = Link(_send, lambda: closed.append("clone"))
    agents.greeted(hello("b9"), clone)
    assert closed == []
    agents.left(agent, clone)
    assert closed == ["original"]
    agents.left(agent, original)
    assert agent.link is None
    assert agent.older_links == []
