"""A witness carries a controller's probe to a host that is doubted, and brings back what came.

It can neither read nor forge the answer, and reaches nothing but answer ports.
"""

import ipaddress
from typing import Any

from holdfast.adapters.drivers.errands import carry
from holdfast.agent.questions import Questions
from holdfast.facts import wire
from holdfast.facts.pulse import Kind, PulseRefused, peek
from holdfast.ports.answers import Unanswerable

QUESTION, ALIVE = "witness", "alive"
LONGEST_LIMIT_MS = 1_000
MOST_AT_ONCE = 64


class Witness:
    """`answer_port` is the only port that it sends to; `boot` is this host's own."""

    def __init__(self, answer_port: int, boot: str = "") -> None:
        self._port, self._boot = answer_port, boot
        self._under_way = 0

    def add_to(self, questions: Questions) -> None:
        questions.add(QUESTION, self.answer)
        questions.add(ALIVE, self.say_alive)

    async def say_alive(self, _asked: wire.Question) -> dict[str, str]:
        """The host itself is doubted: that it answers at all is the answer."""
        return {"boot": self._boot}

    async def answer(self, asked: wire.Question) -> dict[str, Any]:
        """{"data": hex, "is_kernel": bool}. Raises Unanswerable, ValueError."""
        address = ipaddress.ip_address(str(asked.args["address"]))
        data = bytes.fromhex(str(asked.args["data"]))
        limit_ms = float(asked.args["limit_ms"])
        if int(asked.args["port"]) != self._port or address.is_multicast:
            raise Unanswerable(f"a witness asks answer ports only, of one host ({self._port})")
        if not 0 < limit_ms <= LONGEST_LIMIT_MS:
            raise Unanswerable(f"a witness waits up to {LONGEST_LIMIT_MS} ms")
        if self._under_way >= MOST_AT_ONCE:
            raise Unanswerable(f"{MOST_AT_ONCE} witnesses are under way already")
        try:
            peek(data, Kind.PROBE)
        except PulseRefused as refusal:
            raise Unanswerable(f"that is no probe: {refusal}") from None
        self._under_way += 1
        try:
            answer, is_kernel = await carry(str(address), self._port, data, limit_ms)
        finally:
            self._under_way -= 1
        return {"data": answer.hex(), "is_kernel": is_kernel}
