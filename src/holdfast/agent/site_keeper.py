"""Keeps this host's place in the site: its certificate renewed, its settings as the site is."""

import asyncio
import contextlib
import logging
from pathlib import Path

import msgspec

from holdfast.adapters.drivers.certificates import CertificateProblem, Certificates
from holdfast.adapters.drivers.renewal import RenewalFailed, ask_site, is_due, renew_certificate
from holdfast.adapters.drivers.site_file import SiteFileWrong, write_site
from holdfast.facts import wire
from holdfast.facts.membership import SitePlan
from holdfast.facts.settings import Settings

log = logging.getLogger(__name__)

FIRST_ASK_S = 5.0
ASK_EACH_S = 30.0


class SiteKeeper:
    """Blocking work goes to a thread. A host that joined no site has nothing to keep."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._said = ""
        self._changed = asyncio.Event()

    async def site_changed(self, _asked: wire.Question) -> dict[str, bool]:
        """A controller says that controllers came or went: ask soon."""
        self._changed.set()
        return {"asks": True}

    async def run(self) -> None:
        if not Certificates.is_here(self._settings.tls_dir):
            await asyncio.Event().wait()
        await self._wait(FIRST_ASK_S)
        while True:
            try:
                await asyncio.to_thread(self.look)
                self._said = ""
            except (RenewalFailed, SiteFileWrong, CertificateProblem, OSError) as failed:
                self._say(str(failed))
            await self._wait(ASK_EACH_S)

    async def _wait(self, limit_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), limit_s)
        self._changed.clear()

    def look(self) -> None:
        """Renew what is due, and write what changed. Raises what `run` tells of."""
        if is_due(Certificates(self._settings.tls_dir)):
            log.info("the certificate is renewed: until %s", renew_certificate(self._settings))
        plan = self._plan()
        settings = self._settings
        own = settings.own_planes
        if write_site(
            Path(settings.file),
            plan,
            {name: own[name] for name in plan.planes if name in own},
            host_name=settings.host_name,
            tls_dir=settings.tls_dir,
        ):
            log.info("the site changed; its part of %s is written anew", settings.file)

    def _plan(self) -> SitePlan:
        try:
            return msgspec.convert(ask_site(self._settings, "GET", "/v1/site"), SitePlan)
        except msgspec.ValidationError as error:
            raise RenewalFailed(f"the site's plan is not understood: {error}") from None

    def _say(self, text: str) -> None:
        if text != self._said:
            log.warning("the site was not asked: %s", text)
        self._said = text
