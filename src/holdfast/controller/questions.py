"""What the controller answers when asked, and what it passes on to the agent that knows."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from holdfast.controller.agents import Agent, Agents, away
from holdfast.controller.answers import AWAY, USAGE, Unanswerable, unknown
from holdfast.controller.copies import Copies
from holdfast.controller.entries import Entries
from holdfast.controller.followers import FellBehind, Followers
from holdfast.controller.groups import Groups
from holdfast.controller.leadership import Leadership
from holdfast.controller.promises import Promises
from holdfast.facts import wire
from holdfast.ports.store import StoreAway
from holdfast.ports.vim import Vim, VimAway

PLAIN = msgspec.to_builtins
FORWARD_LIMIT_S = 25.0
Handler = Callable[[wire.Question], Awaitable[Any]]


class Questions:
    """`status` says how the controller fares, `agent_rows` how its agents do."""

    def __init__(
        self,
        *,
        vim: Vim,
        agents: Agents,
        entries: Entries,
        promises: Promises,
        groups: Groups,
        followers: Followers,
        copies: Copies,
        leadership: Leadership,
        status: Callable[[], Awaitable[dict[str, Any]]],
        agent_rows: Callable[[], list[dict[str, Any]]],
    ) -> None:
        self._vim, self._agents, self._entries = vim, agents, entries
        self._promises, self._groups = promises, groups
        self._followers, self._copies = followers, copies
        self._leadership, self._status, self._agent_rows = leadership, status, agent_rows
        self._table: dict[str, Handler] = {
            "status": self._ask_status,
            "agents": self._ask_agents,
            "vms": self._ask_vms,
            "protect": self._protect,
            "unprotect": self._unprotect,
            "recover": self._recover,
            "groups": self._ask_groups,
            "group-set": self._group_set,
            "group-forget": self._group_forget,
            "disarm": self._disarm,
            "arm": self._arm,
            "alarms": self._alarms,
            "acknowledge": self._acknowledge,
            "incidents": self._incidents,
            "settle": self._settle,
            "explain": self._explain,
            "last-words": self._last_words,
        }

    async def answer(self, question: wire.Question) -> AsyncIterator[wire.Reply]:
        """One reply, or, to those who follow, one after the other."""
        try:
            if question.name == "follow-alarms":
                async for reply in self._follow(question):
                    yield reply
                return
            handler = self._table.get(question.name)
            if handler is None:
                known = [*self._table, "follow-alarms"]
                raise unknown("question", question.name, known, "holdfast --help")
            yield wire.Reply(id=question.id, data=await handler(question))
        except Unanswerable as error:
            yield _failed(question, str(error), error.hint, error.code)
        except StoreAway as error:
            hint = "nothing is known to have changed; alarms are still reported"
            yield _failed(question, str(error), hint, AWAY)
        except VimAway as error:
            yield _failed(question, f"the VIM is away: {error}", "try again later", AWAY)
        except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
            text = f"the question {question.name!r} cannot be understood: {error}"
            yield _failed(question, text, "", USAGE)

    async def _follow(self, question: wire.Question) -> AsyncIterator[wire.Reply]:
        with self._followers.join() as follower:
            present = PLAIN(await self._vim.alarms())
            yield wire.Reply(id=question.id, data=present, more=True)
            while True:
                try:
                    record = await follower.next()
                except FellBehind:
                    text = "alarms came faster than they were read: some were left out"
                    raise Unanswerable(text, "ask again: holdfast alarms --follow") from None
                yield wire.Reply(id=question.id, data=[PLAIN(record)], more=True)

    async def _ask_status(self, _asked: wire.Question) -> Any:
        return await self._status()

    async def _ask_agents(self, _asked: wire.Question) -> Any:
        return self._agent_rows()

    async def _ask_vms(self, _asked: wire.Question) -> Any:
        return PLAIN(self._agents.all_vms())

    async def _protect(self, asked: wire.Question) -> Any:
        args = asked.args
        answer = "" if args.get("answer") is None else str(args["answer"])
        return await self._promises.protect(
            str(args["vm"]),
            str(args.get("group") or ""),
            answer,
            asked.by,
            self._lead(),
            str(args.get("old_host_is_gone") or "").strip(),
        )

    async def _unprotect(self, asked: wire.Question) -> Any:
        return await self._promises.unprotect(str(asked.args["vm"]), asked.by, self._lead())

    async def _recover(self, asked: wire.Question) -> Any:
        agent, summary = self._agents.find_vm(str(asked.args["vm"]))
        return await self._pass_on(asked, agent, {"vm": summary.vm})

    async def _ask_groups(self, _asked: wire.Question) -> Any:
        return PLAIN(self._groups.all())

    async def _group_set(self, asked: wire.Question) -> Any:
        return await self._groups.set(asked.args, asked.by, self._lead())

    async def _group_forget(self, asked: wire.Question) -> Any:
        return await self._groups.forget(str(asked.args["name"]), asked.by, self._lead())

    async def _disarm(self, asked: wire.Question) -> Any:
        return await self._groups.disarm(asked.args, asked.by, self._lead())

    async def _arm(self, asked: wire.Question) -> Any:
        return await self._groups.arm(asked.by, self._lead())

    async def _alarms(self, asked: wire.Question) -> Any:
        include_cleared = bool(asked.args.get("include_cleared"))
        return PLAIN(await self._vim.alarms(include_cleared=include_cleared))

    async def _acknowledge(self, asked: wire.Question) -> Any:
        key = str(asked.args["key"])
        try:
            record = await self._vim.acknowledge(key, asked.by)
        except KeyError:
            known = [one.alarm.key for one in await self._vim.alarms(include_cleared=True)]
            raise unknown("alarm", key, known, "holdfast alarms") from None
        self._followers.tell(record)
        return PLAIN(record)

    async def _incidents(self, _asked: wire.Question) -> Any:
        return PLAIN(self._entries.incidents())

    async def _settle(self, asked: wire.Question) -> Any:
        return await self._pass_on(asked, self._host_of_incident(asked), asked.args)

    async def _explain(self, asked: wire.Question) -> Any:
        return await self._pass_on(asked, self._host_of_incident(asked), asked.args)

    async def _last_words(self, asked: wire.Question) -> Any:
        name = str(asked.args["vm"])
        agent, summary = self._agents.find_vm(name)
        if agent.link is None:
            failure = away(agent.host_name)
            copy = self._copies.path(summary.vm)
            if copy.exists():
                failure.hint += f"\nthe last of its flight recorder is here: {copy}"
            raise failure
        return await self._pass_on(asked, agent, {**asked.args, "vm": summary.vm})

    def _host_of_incident(self, asked: wire.Question) -> Agent:
        name = str(asked.args.get("incident") or "")
        found = self._entries.incident(name)
        if found is not None:
            return self._agents.find_host(found[0])
        if not name:
            raise Unanswerable("there has been no incident", "", USAGE)
        known = {i.id for i in self._entries.incidents()} | {
            i.name for i in self._entries.incidents()
        }
        raise unknown("incident", name, known, "holdfast incidents")

    async def _pass_on(self, asked: wire.Question, agent: Agent, args: dict[str, Any]) -> Any:
        reply = await self._agents.ask(
            agent,
            asked.name,
            args,
            by=asked.by,
            term=self._leadership.term or 0,
            limit_s=FORWARD_LIMIT_S,
        )
        if reply.error:
            raise Unanswerable(reply.error, reply.hint, reply.code)
        return reply.data

    def _lead(self) -> int:
        """The term, for what only the leader may do. Raises Unanswerable."""
        term = self._leadership.term
        if term is None:
            text = f"nothing can be changed now: {self._leadership.reason}"
            raise Unanswerable(text, "alarms are still reported; see holdfast status", AWAY)
        return term


def _failed(asked: wire.Question, error: str, hint: str, code: int) -> wire.Reply:
    return wire.Reply(id=asked.id, error=error, hint=hint, code=code or 4)
