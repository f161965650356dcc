"""A host's certificate is renewed through a controller, long before it ends."""

import time
from pathlib import Path
from typing import Any

from holdfast.adapters.drivers.certificates import (
    CERTIFICATE,
    KEY,
    CertificateProblem,
    Certificates,
    write_private,
)
from holdfast.adapters.drivers.site_client import SiteAway, SiteClient, SiteRefused
from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.settings import Settings

DAY_MS = 86_400_000
RENEW_BEFORE_MS = 120 * DAY_MS  # A third of a year: a site that is away for months is well.


class RenewalFailed(Exception):
    """No controller renewed it; the text says why, `hint` what to do."""

    def __init__(self, error: str, hint: str = "") -> None:
        super().__init__(error)
        self.hint = hint


def is_due(certificates: Certificates) -> bool:
    return certificates.me.ends_utc_ms - time.time_ns() // NS_PER_MS < RENEW_BEFORE_MS


def renew_certificate(settings: Settings) -> str:
    """Until when the new one holds. The key stays. Raises RenewalFailed."""
    # Late: programs that renew nothing for a year need no cryptography.
    from holdfast.adapters.drivers.authority import make_request

    folder = Path(settings.tls_dir)
    try:
        request = make_request((folder / KEY).read_text())
    except OSError as error:
        raise RenewalFailed(f"{error.filename}: {error.strerror}", "holdfast join") from None
    answer = ask_site(settings, "POST", "/v1/renew", {"request": request})
    write_private(folder / CERTIFICATE, str(answer["certificate"]))
    ends_ms = Certificates(folder).me.ends_utc_ms
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(ends_ms / 1_000))


def ask_site(
    settings: Settings, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The first controller that answers. Raises RenewalFailed."""
    try:
        own = Certificates(settings.tls_dir)
        tls, problem = own.client_context(), own.own_problem()
    except CertificateProblem as wrong:
        raise RenewalFailed(str(wrong)) from None
    if problem:
        raise RenewalFailed(problem)
    reasons = []
    for place in settings.controllers:
        client = SiteClient(place.address, settings.api_port, tls)
        try:
            return client.get(path) if method == "GET" else client.post(path, body or {})
        except SiteRefused as refused:
            reasons.append(RenewalFailed(str(refused), refused.hint))
        except SiteAway as away:
            reasons.append(RenewalFailed(str(away), "does a controller run? holdfast status"))
    raise reasons[0] if reasons else RenewalFailed("the settings name no controller")
