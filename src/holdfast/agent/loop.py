"""The agent's loop: the turns of ports.loop, around the policy of VMs."""

from collections.abc import Callable

from holdfast.facts.actions import Action
from holdfast.facts.instants import Instant
from holdfast.policy.decide import Decider, Input
from holdfast.ports.defects import Defects
from holdfast.ports.detector import Detector
from holdfast.ports.journal import Journal
from holdfast.ports.loop import Turns, now

__all__ = ["Loop", "now"]


class Loop(Turns[Input]):
    def __init__(
        self,
        panel: Detector,
        decider: Decider,
        journal: Journal,
        act: Callable[[Action], None],
        defects: Defects | None = None,
        clock: Callable[[], Instant] = now,
    ) -> None:
        super().__init__(panel, decider, journal, act, defects, clock)
        self.decider = decider
