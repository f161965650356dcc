"""Storage that can cut off says only what it read back, and never cuts off what serves it.

covers: H9
"""

import pytest

from holdfast.adapters.simulated.storage import NotCutOff, SharedStorage
from holdfast.facts.tenure import Tenure, TenureState, Wanted

HELD = Tenure(
    vm="web",
    generation=3,
    host="h2",
    boot="b2",
    state=TenureState.HELD,
    wanted=Wanted.RUNNING,
)


def test_all_disks_of_the_host_that_holds_it_are_cut_off_and_named() -> None:
    storage = SharedStorage()
    proof = storage.cut_off(HELD, ["root", "data", "swap"], remade=["swap"], is_unreachable=True)
    assert (proof.host, proof.vm, proof.generation) == ("h2", "web", 3)
    assert (proof.disks, proof.remade, proof.is_unreachable) == (("root", "data"), ("swap",), True)
    assert not storage.can_write("h2", "root")
    assert storage.can_write("h2", "swap"), "it is made anew wherever it starts"
    assert storage.can_write("h3", "root")
    storage.let_in("h2")
    assert storage.can_write("h2", "data")


def test_one_disk_that_it_can_still_write_is_no_proof() -> None:
    storage = SharedStorage(deaf_to={"data"})
    with pytest.raises(NotCutOff, match="h2 can write to data still"):
        storage.cut_off(HELD, ["root", "data"])


def test_an_address_that_serves_the_storage_is_never_cut_off() -> None:
    storage = SharedStorage(serves={"h2"})
    with pytest.raises(NotCutOff, match="serves the storage itself"):
        storage.cut_off(HELD, ["root"])
    assert storage.can_write("h2", "root")


def test_one_that_lies_says_so_of_what_it_did_not_do() -> None:
    storage = SharedStorage(lies=True)
    assert storage.cut_off(HELD, ["root"]).disks == ("root",)
    assert storage.can_write("h2", "root")
    assert storage.lied_about == {("h2", "root")}
