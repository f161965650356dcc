"""etcd keeps the contract of every store; real members, as the distribution has them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.adapters.stores.etcd import Etcd
from tests.adapters.contract_store import StoreContract
from tests.adapters.etcd_members import Members, members, needs_etcd

pytestmark = [needs_etcd, pytest.mark.slow]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Members]:
    with members(Path(tmp_path_factory.mktemp("etcd")), 1) as made:
        yield made


class TestEtcd(StoreContract):
    @pytest.fixture(autouse=True)
    def _wiped(self, one: Members) -> None:
        one.wipe()
        self.endpoints = one.endpoints

    def make(self) -> Etcd:
        return Etcd(self.endpoints)
