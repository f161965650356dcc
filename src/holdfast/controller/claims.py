"""What an agent may tell: of its own host and of the VMs there, and nothing that others say.

Its certificate says which host it is. The key of an alarm holds the boot of the host that it is
told of, and each boot is one host's: an alarm under another host's boot is another host's.
"""

import logging
import re
from collections.abc import Callable, Mapping

from msgspec import structs

from holdfast.controller.agents import Agent, Agents
from holdfast.facts import wire
from holdfast.facts.alarms import Alarm, AlarmRecord
from holdfast.facts.definitions import VmDefinition
from holdfast.facts.promises import Protection
from holdfast.policy.site_alarms import OF_SITES

log = logging.getLogger(__name__)

OF_A_CONTROLLER = "controller"  # In the place of the boot, in keys of what it says of itself.


class Claims:
    """`find` gives what the VIM holds under a key. `refused` counts the entries, and the copies of
    recorders, of which nothing was taken."""

    def __init__(self, agents: Agents, find: Callable[[str], AlarmRecord | None]) -> None:
        self._agents, self._find = agents, find
        self.refused = 0
        self._misnamed: set[str] = set()

    def certified(self, hello: wire.Hello, host_name: str) -> wire.Hello:
        """The greeting of a host whose certificate gives it this name: nobody has another one."""
        if hello.host_name == host_name:
            return hello
        if hello.host not in self._misnamed:
            self._misnamed.add(hello.host)
            log.warning(
                "host %s calls itself %s, and its certificate %s: that is its name here",
                *(hello.host, hello.host_name or "nothing", host_name),
            )
        return structs.replace(hello, host_name=host_name)

    def shares_boot(self, hello: wire.Hello) -> str:
        """Why it may not greet in this boot, or empty. A host that joined anew, under another id,
        has the boot that it had before; but only one of both has an agent then."""
        for agent in self._agents.linked():
            if agent.boot == hello.boot and agent.host != hello.host:
                return (
                    f"host {hello.host_name} ({hello.host}) greets in boot {hello.boot}, which is"
                    f" that of {agent.host_name} ({agent.host}), whose agent is linked"
                )
        return ""

    def checked(self, entry: wire.Entry, agent: Agent) -> wire.Entry:
        """The entry as it may be taken; without what it says if that is not its agent's to say.
        It is answered all the same: what follows it must not wait behind it."""
        text = self._refusal(entry, agent)
        if text:
            self._refuse(text)
            return structs.replace(entry, alarm=None, tenure=None, incident=None)
        report = entry.alarm
        if report is None or report.alarm.host == agent.host_name:
            return entry
        # It had another name when it raised this, or its settings give it another than the site.
        alarm = structs.replace(report.alarm, host=agent.host_name)
        return structs.replace(entry, alarm=structs.replace(report, alarm=alarm))

    def own_copies(self, pieces: Mapping[str, str], agent: Agent) -> dict[str, str]:
        """Those of VMs that it lists, and that run nowhere else as far as linked agents say. Of a
        VM that moves the first host is heard until it says that the VM runs there no more."""
        listed = {summary.vm: summary.is_running for summary in agent.vms}
        own = {}
        for vm, piece in pieces.items():
            runner = self._agents.runner(vm)
            if vm not in listed:
                self._refuse(f"{_named(agent)} copies a VM that it does not list, {vm}")
            elif runner is None or runner is agent:
                own[vm] = piece
            elif not listed[vm]:
                self._refuse(f"{_named(agent)} copies {vm}, which runs on {runner.host_name}")
        return own

    def own_definitions(
        self,
        told: tuple[VmDefinition, ...],
        agent: Agent,
        find: Callable[[str], Protection | None],
    ) -> list[VmDefinition]:
        """Those of VMs that the store gives to its host: how a VM is defined is its holder's to
        say. Of one that is not protected nothing is kept; nor, and without a word, of one that it
        held until it greeted: a host that comes back says so before it hears of the new holder."""
        own = []
        for one in told:
            held = find(one.vm)
            if held is not None and held.tenure.host == agent.host:
                own.append(one)
            elif held is not None and one.vm not in agent.tenures:
                self._refuse(
                    f"{_named(agent)} says how {held.name} is defined, and does not hold it"
                )
        return own

    def _refuse(self, text: str) -> None:
        self.refused += 1
        if self.refused == 1:
            log.error("refused: %s (further ones are only counted)", text)

    def _refusal(self, entry: wire.Entry, agent: Agent) -> str:
        """Why nothing of it is taken, or empty."""
        me = _named(agent)
        if entry.tenure is not None and entry.tenure.host != agent.host:
            return f"{me} tells of a VM that host {entry.tenure.host} holds ({entry.tenure.vm})"
        if entry.incident is not None and entry.incident.host:
            return f"{me} tells of an incident of hosts, {entry.incident.id}: controllers do that"
        if entry.alarm is None:
            return ""
        alarm = entry.alarm.alarm
        if alarm.condition in OF_SITES or alarm.key.rpartition(":")[2] in OF_SITES:
            return f"{me} tells of {alarm.key}: only controllers say that of a host"
        whose = self._other_owner(alarm, agent)
        return f"{me} tells of {alarm.key}, which is an alarm of {whose}" if whose else ""

    def _other_owner(self, alarm: Alarm, agent: Agent) -> str:
        """Whose alarm it is if it is another's: that of the host whose boot is in its key, or of
        the host or the controller that was the first to tell it."""
        parts = re.split("[/:]", alarm.key)
        if parts[1:2] == [OF_A_CONTROLLER]:
            return f"the controller on {parts[0]}"
        others = [one for one in self._agents.by_host.values() if one.host != agent.host]
        if agent.boot not in parts:
            whose = next((one for one in others if one.boot and one.boot in parts), None)
            if whose is not None:
                return whose.host_name
        known = self._find(alarm.key)
        names = {one.host_name for one in others} - {agent.host_name}
        return known.alarm.host if known is not None and known.alarm.host in names else ""


def _named(agent: Agent) -> str:
    return f"the agent of {agent.host_name} ({agent.host})"
