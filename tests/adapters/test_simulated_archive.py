"""The archive in memory keeps the contract of the real one."""

from pathlib import Path

import pytest

from holdfast.adapters.simulated.archive import ArchiveInMemory
from holdfast.ports.archive import Archive
from tests.adapters.contract_archive import ArchiveContract


class TestArchiveInMemory(ArchiveContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make(self) -> Archive:
        return ArchiveInMemory(self.folder)
