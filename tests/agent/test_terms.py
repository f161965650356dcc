"""An agent obeys the newest leader only, also after it was started anew."""

import asyncio
from pathlib import Path

import pytest

from holdfast.agent.terms import COMMANDS, Terms
from holdfast.facts import wire


async def _obey(question: wire.Question) -> wire.Reply:
    return wire.Reply(id=question.id, data="done")


def ask(terms: Terms, name: str, term: int) -> wire.Reply:
    async def work() -> wire.Reply:
        return await terms.guard(_obey)(wire.Question(id=1, name=name, term=term))

    return asyncio.run(work())


def knowing(term: int, path: Path | None = None) -> Terms:
    terms = Terms(path)
    terms.heard("store", term)
    return terms


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_what_an_older_leader_commands_is_refused_with_the_reason(name: str) -> None:
    reply = ask(knowing(7), name, 6)
    assert reply.error == "a controller of term 6 is not obeyed: 7 leads"
    assert reply.code == 4
    assert ask(knowing(7), name, 0).error, "who leads in no term commands nothing"
    assert ask(knowing(7), name, 7).data == "done"
    assert ask(knowing(7), name, 8).data == "done", "its welcome may still be on the way"


def test_what_people_ask_of_this_host_goes_through_any_controller() -> None:
    for name in ("status", "explain", "recover", "settle", "witness"):
        assert ask(knowing(7), name, 0).data == "done"
    assert ask(knowing(7), "recover", 6).error, "but not through one that still thinks it leads"


def test_it_is_remembered_by_the_next_agent(tmp_path: Path) -> None:
    knowing(7, tmp_path / "term")
    again = Terms(tmp_path / "term")
    assert again.is_outdated("store", 6)
    assert not again.is_outdated("another store", 1), "a store that was made anew counts anew"
    assert ask(again, "grant", 6).error
    (tmp_path / "term").write_bytes(b"\xff no json")
    assert not Terms(tmp_path / "term").is_outdated("store", 6)


def test_what_was_replaced_once_stays_so(tmp_path: Path) -> None:
    terms = knowing(7, tmp_path / "term")
    terms.heard("restored", 1, ("store",))
    terms.heard("grown", 1)
    for one in (terms, Terms(tmp_path / "term")):
        assert one.is_outdated("store", 9)


def test_before_any_leader_was_heard_everybody_is_obeyed() -> None:
    assert ask(Terms(), "grant", 0).data == "done"
