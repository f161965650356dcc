"""How a probe travels in a simulated site: to the host's answer port, and perhaps back."""

import asyncio
from collections.abc import Callable

from holdfast.adapters.simulated.machine import Machine
from tests.simulation.pulses import SimulatedPulse

Answerer = tuple[Machine, SimulatedPulse]
Carry = Callable[[str, int, bytes, float, str], "asyncio.Future[tuple[bytes, bool]]"]


def address(plane: str, host: str) -> str:
    return f"{plane}:{host}"


class Carrier:
    """See adapters.drivers.errands.carry; `hosts` finds whom an address names."""

    def __init__(self, machine: Machine, find: Callable[[str], Answerer]) -> None:
        self._machine, self._find = machine, find

    async def carry(  # The port is the one that answers; the way is the plane's own.
        self, where: str, _port: int, data: bytes, limit_ms: float, _own: str = ""
    ) -> tuple[bytes, bool]:
        plane, _, name = where.partition(":")
        me, network = self._machine.name, self._machine.network
        machine, pulse = self._find(name)
        there_ms, back_ms = network.delay_ms(plane), network.delay_ms(plane)
        answer, is_kernel = b"", False
        if there_ms + back_ms < limit_ms:
            await asyncio.sleep(there_ms / 1_000)
            is_heard = network.reaches(plane, me, name) and machine.is_up
            if is_heard and network.reaches(plane, name, me):
                answer = pulse.answer(plane, data)
                is_kernel = not answer and machine.kernel_answers
        await asyncio.sleep((back_ms if answer or is_kernel else limit_ms - there_ms) / 1_000)
        return answer, is_kernel
