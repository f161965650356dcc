"""What the store says of fences: what was read of it at the beginning, and what is news.

covers: H2
"""

import asyncio

from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.controller.registry import Registry
from holdfast.controller.site_feed import SiteFeed
from holdfast.facts.site import FenceSet, SiteFact
from holdfast.policy.site_world import SiteWorld
from tests.controller.recovery_scene import intent


def test_only_what_is_read_at_the_beginning_is_aged_by_wall_clocks() -> None:
    async def work() -> None:
        store, told = StoreInMemory(), list[SiteFact]()
        term = await store.begin_term("c1", 10_000)
        assert term is not None
        earlier = Registry(store, lambda: term)
        await earlier.begin(term)
        await earlier.change(lambda: {"fences/h4": intent(term, intended_utc_ms=1)})
        registry = Registry(store, lambda: term)
        SiteFeed(registry, told.append, SiteWorld())
        await registry.begin(term)
        await registry.change(lambda: {"fences/h5": intent(term, host="h5", intended_utc_ms=1)})
        await earlier.load()
        await earlier.change(lambda: {"fences/h6": intent(term, host="h6", intended_utc_ms=1)})
        await registry.load()
        found = {one.fence.host: one for one in told if isinstance(one, FenceSet)}
        assert {host: one.is_read for host, one in found.items()} == {
            "h4": True,
            "h5": False,
            "h6": False,
        }
        assert found["h4"].age_ms > 1_000
        await store.close()

    asyncio.run(work())
