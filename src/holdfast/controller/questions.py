"""What the controller answers when asked, and what it passes on to the agent that knows."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from holdfast.controller import vm_rows
from holdfast.controller.agents import Agent, Agents
from holdfast.controller.api_tokens import ApiTokens
from holdfast.controller.audit import Audit
from holdfast.controller.disk_wishes import read_wish
from holdfast.controller.entries import Entries
from holdfast.controller.events import Events, read_position
from holdfast.controller.groups import Groups
from holdfast.controller.host_rows import HostRows
from holdfast.controller.host_words import HostWords
from holdfast.controller.leadership import Leadership
from holdfast.controller.promises import Promises
from holdfast.controller.settling import settle
from holdfast.controller.stories import Journals, with_others
from holdfast.controller.watch import Watch
from holdfast.facts import wire
from holdfast.facts.alarms import AlarmRecord
from holdfast.facts.incidents import Incident
from holdfast.facts.roles import Caller, Role
from holdfast.facts.typed import cleaned
from holdfast.policy import timing
from holdfast.policy.site_alarms import OF_SITES
from holdfast.ports.answers import (
    AWAY,
    MAKE_SITE,
    NO_SITE,
    REFUSED,
    USAGE,
    Unanswerable,
    Unknown,
    unknown,
)
from holdfast.ports.store import StoreAway
from holdfast.ports.vim import Vim, VimAway

PLAIN = msgspec.to_builtins
FORWARD_LIMIT_S = 25.0
# What changes something, or says a secret: written into the audit.
CHANGES = frozenset(
    "protect unprotect recover group-set group-forget disarm arm acknowledge settle"
    " api-token-create api-token-revoke join-new join-revoke certificate-revoke"
    " fence-set fence-clear fence-rehearse host-mode host-confirm-dead"
    " vm-migrate vm-migrate-cancel host-drain host-undrain host-predict host-unpredict".split()
)
# What only the controller of a site is asked; `make run` and `holdfast up` have none.
OF_SITE = frozenset("ca site joins join-new join-revoke certificates certificate-revoke".split())
SHOW_VMS = frozenset({"status", "vms", "vm", "host", "group"})
Handler = Callable[[wire.Question], Awaitable[Any]]


async def _nothing() -> None:
    """Before somebody is set who does more."""


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
        host_words: HostWords,
        leadership: Leadership,
        tokens: ApiTokens,
        events: Events,
        audit: Audit,
        status: Callable[[], Awaitable[dict[str, Any]]],
        agent_rows: Callable[[], list[dict[str, Any]]],
        hosts: HostRows,
    ) -> None:
        self._vim, self._agents, self._entries = vim, agents, entries
        self._promises, self._groups = promises, groups
        self._host_words = host_words
        self._leadership, self._status, self._agent_rows = leadership, status, agent_rows
        self._tokens, self._events, self._audit = tokens, events, audit
        self._hosts = hosts
        self.watch: Watch | None = None  # Of hosts; their incidents are its own.
        self.journals: Journals | None = None  # Of the other controllers.
        self.refresh: Callable[[], Awaitable[None]] = _nothing  # Before VMs are shown.
        self.if_lost: Callable[[str], Any] = lambda _: None  # What the loss of a host would mean.
        self.acknowledged: Callable[[AlarmRecord], None] = lambda _: None  # Who must know of it.
        # Of a VM whose host is dead, and that no host is starting: what was done about it.
        self.recover_elsewhere: Callable[[str, str], dict[str, Any] | None] = lambda _vm, _by: None
        self._table: dict[str, Handler] = {
            "status": self._ask_status,
            "agents": self._ask_agents,
            "hosts": self._ask_hosts,
            "host": self._ask_host,
            "vms": self._ask_vms,
            "vm": self._ask_vm,
            "protect": self._protect,
            "unprotect": self._unprotect,
            "recover": self._recover,
            "groups": self._ask_groups,
            "disarm": self._disarm,
            "arm": self._arm,
            "alarms": self._alarms,
            "acknowledge": self._acknowledge,
            "incidents": self._incidents,
            "incident": self._incident,
            "settle": self._settle,
            "explain": self._explain,
            "last-words": self._last_words,
            "events": self._ask_events,
            "audit": self._ask_audit,
            "api-tokens": self._ask_tokens,
            "api-token-create": self._token_create,
            "api-token-revoke": self._token_revoke,
        }

    def add(self, handlers: Mapping[str, Handler]) -> None:
        self._table.update(handlers)

    async def answer(self, question: wire.Question) -> wire.Reply:
        """To whoever may open the controller's own socket."""
        caller = Caller(name=question.by, role=Role.ADMINISTER, origin="this host")
        try:
            data = await self.ask(question.name, question.args, caller)
        except Unanswerable as error:
            code = error.code or REFUSED
            return wire.Reply(id=question.id, error=str(error), hint=error.hint, code=code)
        return wire.Reply(id=question.id, data=data)

    async def ask(self, name: str, args: dict[str, Any], caller: Caller) -> Any:
        """The data of the answer. Raises Unanswerable."""
        handler = self._table.get(name)
        if handler is None and name in OF_SITE:
            raise Unanswerable(NO_SITE, MAKE_SITE, USAGE)
        if handler is None:
            raise unknown("question", name, self._table, "holdfast --help")
        args = cleaned(args)
        question = wire.Question(id=0, name=name, args=args, by=caller.name)
        if name not in CHANGES:
            return await self._handle(handler, question)
        change = functools.partial(self._handle, handler, question)
        return await self._audit.around(name, args, caller, change)

    async def _handle(self, handler: Handler, question: wire.Question) -> Any:
        try:
            if question.name in SHOW_VMS:
                await self.refresh()
            return await handler(question)
        except StoreAway as error:
            hint = "nothing is known to have changed; alarms are still reported"
            raise Unanswerable(str(error), hint, AWAY) from None
        except VimAway as error:
            raise Unanswerable(f"the VIM is away: {error}", "try again later", AWAY) from None
        except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
            text = f"the question {question.name!r} cannot be understood: {error}"
            raise Unanswerable(text, "", USAGE) from None

    async def _ask_status(self, _asked: wire.Question) -> Any:
        return await self._status()

    async def _ask_agents(self, _asked: wire.Question) -> Any:
        return self._agent_rows()

    async def _ask_vms(self, _asked: wire.Question) -> Any:
        return PLAIN(self._agents.all_vms())

    async def _ask_hosts(self, _asked: wire.Question) -> Any:
        return self._hosts.all()

    async def _ask_host(self, asked: wire.Question) -> Any:
        row = self._hosts.find(str(asked.args["host"]))
        host, name = str(row["host"]), str(row["host_name"])
        alarms = [
            one
            for one in await self._vim.alarms()
            if one.alarm.subject.id == host
            or (one.alarm.host == name and one.alarm.condition not in OF_SITES)
        ]
        rows = self._agents.all_vms()
        left = vm_rows.only_defined(rows, name)
        vms = [one for one in rows if one.host == host]
        shown = {"host": row, "vms": PLAIN(vms), "only_defined": left, "alarms": PLAIN(alarms)}
        return {**shown, "if_lost": self.if_lost(host)}

    async def _ask_vm(self, asked: wire.Question) -> Any:
        _, found = self._agents.find_vm(str(asked.args["vm"]))
        shown = next(one for one in self._agents.all_vms() if one.vm == found.vm)
        incidents = [one for one in self._entries.incidents() if one.vm == found.vm]
        return {"vm": PLAIN(shown), "incidents": PLAIN(incidents)}

    async def _protect(self, asked: wire.Question) -> Any:
        args = asked.args
        answer = "" if args.get("answer") is None else str(args["answer"])
        return await self._promises.protect(
            str(args["vm"]),
            str(args.get("group") or ""),
            answer,
            asked.by,
            self._leadership.must_lead(),
            str(args.get("old_host_is_gone") or "").strip(),
            read_wish(args),
        )

    async def _unprotect(self, asked: wire.Question) -> Any:
        return await self._promises.unprotect(
            str(asked.args["vm"]), asked.by, self._leadership.must_lead()
        )

    async def _recover(self, asked: wire.Question) -> Any:
        agent, summary = self._agents.find_vm(str(asked.args["vm"]))
        elsewhere = self.recover_elsewhere(summary.vm, asked.by)
        return elsewhere or await self._pass_on(asked, agent, {"vm": summary.vm})

    async def _ask_groups(self, _asked: wire.Question) -> Any:
        return PLAIN(self._groups.all())

    async def _disarm(self, asked: wire.Question) -> Any:
        return await self._groups.disarm(asked.args, asked.by, self._leadership.must_lead())

    async def _arm(self, asked: wire.Question) -> Any:
        return await self._groups.arm(asked.by, self._leadership.must_lead())

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
        self.acknowledged(record)
        return PLAIN(record)

    async def _ask_events(self, asked: wire.Question) -> Any:
        """Without `after` the newest ones."""
        limit = int(asked.args.get("limit", 100))
        after = str(asked.args.get("after") or "")
        if after:
            batch = self._events.after(read_position(after), limit)
        else:
            batch = self._events.newest_ones(limit)
        return {
            "events": [msgspec.Raw(raw) for _, raw in batch.events],
            "gap": PLAIN(batch.gap),
            "next": str(batch.position),
        }

    async def _ask_audit(self, asked: wire.Question) -> Any:
        return {"changes": PLAIN(await self._audit.newest(int(asked.args.get("limit", 100))))}

    async def _ask_tokens(self, _asked: wire.Question) -> Any:
        return PLAIN(self._tokens.all())

    async def _token_create(self, asked: wire.Question) -> Any:
        self._leadership.must_lead()
        return await self._tokens.create(asked.args, asked.by)

    async def _token_revoke(self, asked: wire.Question) -> Any:
        self._leadership.must_lead()
        return await self._tokens.revoke(str(asked.args["name"]))

    async def _incidents(self, _asked: wire.Question) -> Any:
        return PLAIN(self._entries.incidents())

    async def _incident(self, asked: wire.Question) -> Any:
        return PLAIN(self._find_incident(asked)[1])

    async def _settle(self, asked: wire.Question) -> Any:
        _, incident = self._find_incident(asked)
        if incident.host and self.watch is not None:
            self._leadership.must_lead()
            leave_down = bool(asked.args.get("leave_down"))
            settle(self.watch, incident.id, asked.by, leave_down=leave_down)
            return PLAIN(self._find_incident(asked)[1])
        return await self._pass_on(asked, self._host_of_incident(asked), asked.args)

    async def _explain(self, asked: wire.Question) -> Any:
        host, incident = self._find_incident(asked)
        if incident.host and self.watch is not None:
            story = await asyncio.to_thread(self.watch.story, incident)
            story = {**await self._with_others(story, ""), "vms": self._began_by(incident)}
            if self._host_words.find(incident.host) is None:
                return story
            # None of its VMs runs elsewhere earlier than that.
            until = incident.fault_utc_ms + timing.FENCE_AFTER_MS if incident.fault_utc_ms else 0
            words = await asyncio.to_thread(self._host_words.tell, incident.host, until)
            return {**story, "host_words": words}
        missing = ""
        try:
            agent = self._agents.find_host(host)
            story = await self._pass_on(asked, agent, {**asked.args, "incident": incident.id})
        except Unanswerable as error:
            if error.code not in (AWAY, USAGE):
                raise
            # Away, or begun anew without its memory: what is known here is an answer, too.
            story, missing = {"incident": PLAIN(incident), "records": []}, str(error)
        names = {one.host: one.host_name for one in self._agents.by_host.values()}
        if isinstance(story, dict):
            story["names"] = names
        told = await self._with_others(story, f"agent of {names.get(host, host)}")
        return {**told, "missing": [missing, *told.get("missing", ())]} if missing else told

    def _began_by(self, incident: Incident) -> dict[str, str]:
        """Incidents of VMs that were started because of it, by the VM: their agents name it."""
        words = f"(incident {incident.id})"
        return {one.vm: one.id for one in self._entries.incidents() if words in one.cause}

    async def _with_others(self, story: Any, owner: str) -> Any:
        if self.journals is None or not isinstance(story, dict) or "records" not in story:
            return story
        return await with_others(story, owner, self.journals)

    async def _last_words(self, asked: wire.Question) -> Any:
        """Of a VM; of a host, by its name, what it last told the controllers of itself."""
        name = str(asked.args["vm"])
        try:
            agent, summary = self._agents.find_vm(name)
        except Unknown:
            if self._host_words.find(name) is None:
                raise
            return {"host_words": await asyncio.to_thread(self._host_words.tell, name)}
        if agent.link is None:
            copy = await asyncio.to_thread(self._host_words.tell_vm, summary.vm, summary.name)
            if not copy["told_utc_ms"]:
                raise self._agents.away(agent)
            return {"vm_copy": {**copy, "host_name": agent.host_name}}
        return await self._pass_on(asked, agent, {**asked.args, "vm": summary.vm})

    def _host_of_incident(self, asked: wire.Question) -> Agent:
        return self._agents.find_host(self._find_incident(asked)[0])

    def _find_incident(self, asked: wire.Question) -> tuple[str, Incident]:
        """And its host. Raises Unanswerable."""
        name = str(asked.args.get("incident") or "")
        found = self._entries.incident(name) or self._of_renamed(name)
        if found is not None:
            return found
        if not name:
            raise Unanswerable("there has been no incident", "", USAGE)
        known = {i.id for i in self._entries.incidents()} | {
            i.name for i in self._entries.incidents()
        }
        raise unknown("incident", name, known, "holdfast incidents")

    def _of_renamed(self, name: str) -> tuple[str, Incident] | None:
        """The newest of a VM that had another name when it failed."""
        try:
            return self._entries.incident(self._agents.find_vm(name)[1].vm) if name else None
        except Unanswerable:
            return None

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
