"""The member of the store on this controller's own host, and whether it answers.

Without it the site serves on: nobody would miss it until the next member is lost, and nothing can
be decided any more.
"""

import asyncio

from holdfast.adapters.drivers.certificates import Certificates
from holdfast.adapters.drivers.etcd_gateway import EtcdGateway, Refused
from holdfast.facts.membership import client_url
from holdfast.facts.settings import Settings
from holdfast.ports import clock
from holdfast.ports.store import StoreAway

LOOK_S = 5.0
AWAY_AFTER_S = 15.0  # One that is restarted is back before.
STATUS = "/v3/maintenance/status"  # Of that member alone: it needs no majority.


class OwnStore:
    """`trouble` says what is wrong with it, or nothing."""

    def __init__(
        self, etcd: EtcdGateway, look_s: float = LOOK_S, away_after_s: float = AWAY_AFTER_S
    ) -> None:
        self._etcd, self._look_s, self._away_after_s = etcd, look_s, away_after_s
        self.trouble = ""

    async def run(self) -> None:
        """Until cancelled."""
        answered_s = clock.monotonic_s()
        try:
            while True:
                why = await self._ask()
                now_s = clock.monotonic_s()
                if not why:
                    answered_s, self.trouble = now_s, ""
                elif now_s - answered_s >= self._away_after_s and not self.trouble:
                    self.trouble = f"the store on this host does not answer: {why}"
                await asyncio.sleep(self._look_s)
        finally:
            await self._etcd.close()

    async def _ask(self) -> str:
        """Why it does not answer, or empty."""
        try:
            await self._etcd.read(STATUS, {})
        except (StoreAway, Refused) as error:
            return str(error)
        return ""


def own_store(
    settings: Settings, host_name: str, certificates: Certificates | None
) -> OwnStore | None:
    """None: no member of the store is on this host."""
    place = settings.place_of(host_name)
    mine = client_url(place.address) if place is not None else ""
    if certificates is None or mine not in settings.etcd_endpoints:
        return None
    return OwnStore(EtcdGateway((mine,), certificates.store_context()))
