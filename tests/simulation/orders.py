"""What a simulated agent answers when it is asked, or ordered: the real table and terms."""

from typing import Any

from holdfast.adapters.simulated.host import SimulatedHost
from holdfast.agent.loop import Loop, now
from holdfast.agent.questions import PLAIN, Questions, read_disarm, read_group, read_protection
from holdfast.agent.starting import Starting
from holdfast.agent.terms import Terms
from holdfast.facts import commands as told
from holdfast.facts import wire
from holdfast.ports.answers import Unanswerable
from tests.simulation.probes import Carrier


class Orders:
    """What people and the leader command of a host, as agent/commands.py takes it.

    What a leader orders of a host after another one died is the program's own (agent/starting.py).
    """

    def __init__(
        self,
        loop: Loop,
        host: SimulatedHost,
        terms: Terms,
        carrier: Carrier,
        starting: Starting,
    ) -> None:
        self._loop, self._host, self._carrier = loop, host, carrier
        self.questions = Questions()
        starting.add_to(self.questions)
        handlers = {
            "witness": self._witness,
            "grant": self._grant,
            "release": self._release,
            "group": self._group,
            "group-forget": self._group_forget,
            "disarm": self._disarm,
            "arm": self._arm,
        }
        for name, handler in handlers.items():
            self.questions.add(name, handler)
        self.answer = terms.guard(self.questions.answer)

    async def _witness(self, asked: wire.Question) -> Any:
        args = asked.args
        data, is_kernel = await self._carrier.carry(
            args["address"], args["port"], bytes.fromhex(args["data"]), args["limit_ms"]
        )
        return {"data": data.hex(), "is_kernel": is_kernel}

    async def _grant(self, asked: wire.Question) -> Any:
        protection = read_protection(asked.args)
        vm = self._host.by_uuid(protection.vm)
        if vm is None or not vm.is_defined:
            raise Unanswerable("libvirt knows no VM with this uuid", "holdfast vm list", 4)
        self._loop.consume(told.ProtectionGranted(at=now(), protection=protection, by=asked.by))
        held = self._loop.decider.world.vms[protection.vm].protection
        if held is None:
            raise Unanswerable("it is another host's by what this host knows", "", 4)
        return {"protection": PLAIN(held)}

    async def _release(self, asked: wire.Question) -> Any:
        vm = str(asked.args["vm"])
        self._loop.consume(told.ProtectionEnded(at=now(), vm=vm, by=asked.by))
        return {}

    async def _group(self, asked: wire.Question) -> Any:
        self._loop.consume(told.GroupSet(at=now(), group=read_group(asked.args)))
        return {}

    async def _group_forget(self, asked: wire.Question) -> Any:
        self._loop.consume(told.GroupForgotten(at=now(), name=str(asked.args["name"])))
        return {}

    async def _disarm(self, asked: wire.Question) -> Any:
        self._loop.consume(read_disarm(asked.args, asked.by, now()))
        return {}

    async def _arm(self, asked: wire.Question) -> Any:
        self._loop.consume(told.Armed(at=now(), by=asked.by))
        return {}
