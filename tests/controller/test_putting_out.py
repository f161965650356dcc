"""A host that holds VMs is put out only when they are safe, or somebody says that it must be.

covers: H2 H9
"""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from msgspec import structs

from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.facts.fencing import FenceStep
from holdfast.ports.answers import REFUSED, Unanswerable
from tests.controller.fake_agent import wait_for
from tests.controller.joining_house import House, run
from tests.controller.recovery_scene import PROOF, intent, protection
from tests.controller.site import Host, issued_to, list_certificate, site_of


def test_it_is_refused_with_what_to_do_first(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await house.join(await house.token())
        house.stranded["idh4"] = ["web-2", "web-1"]
        with pytest.raises(Unanswerable, match="is not proven dead: web-1, web-2") as refused:
            await house.ask("certificate-revoke", name="h4", reason="it burnt")
        assert refused.value.code == REFUSED
        first, second, last = refused.value.hint.split("\n")
        assert first.startswith("if it is dead: holdfast host confirm-dead h4 --because")
        assert "holdfast host drain h4" in second
        assert last.endswith("--even-with-vms")
        assert house.issued("h4"), "nothing was done"
        await house.ask("certificate-revoke", name="h4", reason="stolen", even_with_vms=True)
        assert house.issued("h4") == []

    run(tmp_path, story)


def test_its_only_certificate_is_as_good_as_its_name(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await house.join(await house.token())
        house.stranded["idh4"] = ["web-1"]
        [first] = house.issued("h4")
        with pytest.raises(Unanswerable, match="is not proven dead: web-1"):
            await house.ask("certificate-revoke", name=first.serial, reason="it leaked")
        await house.renew(house.peer("h4"))
        await house.ask("certificate-revoke", name=first.serial, reason="it leaked")
        assert len(house.issued("h4")) == 1, "the newer one serves it on"

    run(tmp_path, story)


@pytest.mark.parametrize("boot", ["boot-host-a", "a later boot"])
def test_who_is_proven_dead_may_go_once_all_that_it_held_is_covered(
    tmp_path: Path, boot: str
) -> None:
    async def work() -> None:
        store = StoreInMemory()
        async with site_of(tmp_path, [store]) as site:
            await site.wait_leader()
            registry = next(iter(site.controllers.values())).registry
            async with Host(site, "host-a").running() as host:
                me = host.certificates.me
                await list_certificate(store, issued_to(me))
                await wait_for(host.up_at)
            held = protection(host=me.host, boot=boot)
            await registry.change(lambda: {"protections/web": held})
            proof = structs.replace(PROOF, host=me.host, boot="boot-host-a")
            off = intent(1, host=me.host, boot="boot-host-a", step=FenceStep.OFF, proof=proof)
            for fence in (structs.replace(off, step=FenceStep.INTENDED, proof=None), off):
                await registry.change(partial(dict, {f"fences/{me.host}": fence}))
                is_safe = fence.step is FenceStep.OFF and boot == "boot-host-a"
                told = await site.ask_all(
                    "alpha", "certificate-revoke", name="host-a", reason="it burnt"
                )
                if is_safe:
                    assert told.error == ""
                else:
                    assert "is not proven dead: web" in told.error

    asyncio.run(work())
