"""The flight recorder in memory keeps the contract of the real one."""

from holdfast.adapters.simulated.recorder import RecorderInMemory
from holdfast.ports.recorder import Recorder
from tests.adapters.contract_recorder import RecorderContract


class TestRecorderInMemory(RecorderContract):
    def make(self) -> Recorder:
        return RecorderInMemory()
