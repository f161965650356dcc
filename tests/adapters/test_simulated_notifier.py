"""The notifier in memory keeps the contract of the real ones."""

import pytest

from holdfast.adapters.simulated.notifier import NotifierInMemory
from holdfast.ports.notifier import NotifyFailed
from tests.adapters.contract_notifier import NotifierContract


class TestNotifierInMemory(NotifierContract):
    @pytest.fixture(autouse=True)
    def _notifier(self) -> None:
        self.notifier = NotifierInMemory(heartbeat_s=10.0)

    def make(self) -> NotifierInMemory:
        return self.notifier

    def told(self) -> list[int]:
        return [notice.sequence for notice in self.notifier.told]

    def fail(self, how: str) -> None:
        self.notifier.is_away = how == "away"
        self.notifier.refuses = {1} if how == "refuse" else set()


def test_what_a_receiver_says_of_itself_is_cut_to_a_readable_line() -> None:
    said = str(NotifyFailed("bad\x00\x1b[31m\n" + "x" * 100_000))
    assert len(said) <= 200
    assert said.isprintable()
