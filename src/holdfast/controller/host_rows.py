"""Hosts as people are shown them: what their agents say, and what is heard without those."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from holdfast.controller.agents import Agent, Agents
from holdfast.controller.registry import Known
from holdfast.ports.answers import unknown

SILENT, ODD, WELL = "bad", "odd", "well"
WELL_STATES = ("serving", "unheard", "")


class HostRows:
    """`heard` gives what the watch makes of each host, `known` those that the store knows,
    `fencing` what becomes of one that dies."""

    def __init__(
        self,
        agents: Agents,
        heard: Callable[[], Iterable[dict[str, Any]]],
        known: Callable[[], Iterable[Known]],
        fencing: Callable[[str], dict[str, Any]],
    ) -> None:
        self._agents, self._heard, self._known = agents, heard, known
        self._fencing = fencing

    def all(self) -> list[dict[str, Any]]:
        """By name. A host is here if its agent was ever linked, or the site knows of it."""
        heard = {str(row["host"]): row for row in self._heard()}
        known = {one.host: one for one in self._known()}
        hosts = dict.fromkeys([*self._agents.by_host, *known, *heard])
        there = self._agents.vms_there()
        rows = [
            {
                **_row(host, self._agents.by_host.get(host), known.get(host), heard.get(host, {})),
                **({"vms": there[host]} if host in self._agents.by_host else {}),
                **self._fencing(host),
            }
            for host in hosts
        ]
        return sorted(rows, key=lambda row: str(row["host_name"]))

    def find(self, name: str) -> dict[str, Any]:
        """By name or id. Raises Unanswerable."""
        rows = self.all()
        for row in rows:
            if name in (row["host"], row["host_name"]):
                return row
        names = {str(word) for row in rows for word in (row["host"], row["host_name"])}
        raise unknown("host", name, names, "holdfast host list")


def _row(
    host: str, agent: Agent | None, known: Known | None, heard: dict[str, Any]
) -> dict[str, Any]:
    planes = sorted(known.addresses) if known else []
    return {
        "host": host,
        "host_name": _name(host, agent, known, heard),
        "state": str(heard.get("state", "")),
        "said": str(heard.get("said", "")),
        "care": _care(heard),
        "is_silent": bool(heard.get("is_silent")),
        "boot": str(heard.get("boot") or (agent.boot if agent else "")),
        "is_up": agent is not None and agent.link is not None,
        "since_utc_ms": agent.since_utc_ms if agent else 0,
        "is_amnesiac": agent is not None and agent.is_amnesiac,
        "vms": int(heard.get("vms", 0)),
        "planes": sorted({*planes, *heard.get("planes_heard", ())}),
        "planes_heard": list(heard.get("planes_heard", ())),
        "rack": str(heard.get("rack") or (known.rack if known else "")),
        "switch": str(heard.get("switch") or (known.switch if known else "")),
        "zone": str(heard.get("zone") or (known.zone if known else "")),
        "roles": list(heard.get("roles", ())),
        "faults": list(heard.get("faults", ())),
        "incident": str(heard.get("incident", "")),
        "parts": msgspec.to_builtins(agent.parts) if agent else [],
    }


def _name(host: str, agent: Agent | None, known: Known | None, heard: dict[str, Any]) -> str:
    named = (agent.host_name if agent else "", known.host_name if known else "")
    return next((name for name in (*named, str(heard.get("host_name", ""))) if name), host)


def _care(heard: dict[str, Any]) -> str:
    if heard.get("is_silent"):
        return SILENT
    return WELL if heard.get("state", "") in WELL_STATES and not heard.get("faults") else ODD
