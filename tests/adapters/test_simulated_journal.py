"""The journal in memory keeps the contract of the real one."""

from collections.abc import Callable

from holdfast.adapters.simulated.journal import JournalInMemory
from holdfast.ports.journal import Journal
from tests.adapters.contract_journal import JournalContract


class TestJournalInMemory(JournalContract):
    def make(self, snapshot: Callable[[], bytes]) -> Journal:
        self.journal = JournalInMemory(3, snapshot)
        return self.journal

    def fill(self) -> None:
        self.journal.is_full = True

    def free(self) -> None:
        self.journal.is_full = False
