"""Asks a controller's API over TLS: for those who join, renew or leave. Blocking, one call each."""

import hashlib
import http.client
import json
import ssl
from typing import Any

from holdfast.adapters.drivers.certificates import explain

CALL_LIMIT_S = 60.0
CONNECT_LIMIT_S = 5.0
AWAY = 3


class SiteAway(Exception):
    """No answer came; the text says why. `is_silent`: nobody was there to give one."""

    def __init__(self, text: str, *, is_silent: bool = False) -> None:
        super().__init__(text)
        self.is_silent = is_silent


class SiteRefused(Exception):
    """The controller answered no. `hint` and `code` are as it said them."""

    def __init__(self, error: str, hint: str, code: int) -> None:
        super().__init__(error)
        self.hint, self.code = hint, code


class SiteClient:
    """One controller, at an address that its certificate holds."""

    def __init__(self, address: str, port: int, tls: ssl.SSLContext) -> None:
        self.address, self._port, self._tls = address, port, tls

    def get(self, path: str) -> dict[str, Any]:
        """Raises SiteAway, SiteRefused."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Raises SiteAway, SiteRefused."""
        return self._ask("POST", path, json.dumps(body))

    def _ask(self, method: str, path: str, body: str | None) -> dict[str, Any]:
        whom = f"the controller at {self.address}:{self._port}"
        link = http.client.HTTPSConnection(
            self.address, self._port, timeout=CONNECT_LIMIT_S, context=self._tls
        )
        try:
            link.connect()
            assert link.sock is not None
            link.sock.settimeout(CALL_LIMIT_S)
            headers = {"Content-Type": "application/json"} if body else {}
            link.request(method, path, body, headers)
            answer = link.getresponse()
            status, raw = answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            is_silent = isinstance(error, OSError) and not isinstance(error, ssl.SSLError)
            raise SiteAway(explain(error, whom), is_silent=is_silent) from None
        finally:
            link.close()
        try:
            said = json.loads(raw)
        except ValueError:
            raise SiteAway(f"{whom} answers with something else than Holdfast's API") from None
        if status == http.client.OK and isinstance(said, dict):
            return said
        if not isinstance(said, dict) or "error" not in said:
            raise SiteAway(f"{whom} answers with HTTP status {status}")
        code = said.get("code") or 4
        raise SiteRefused(str(said["error"]), str(said.get("hint", "")), int(code))


def fetch_pinned(address: str, port: int, wanted_sha256: str) -> tuple[str, ssl.SSLContext]:
    """The site's CA, known by its fingerprint alone, and what trusts it. Raises SiteAway."""
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname = False
    anyone.verify_mode = ssl.CERT_NONE  # What comes is believed only if its fingerprint is right.
    try:
        ca = str(SiteClient(address, port, anyone).get("/v1/ca").get("ca", ""))
        found = hashlib.sha256(ssl.PEM_cert_to_DER_cert(ca.strip())).hexdigest()
    except SiteRefused as error:
        raise SiteAway(f"{address}:{port} is no controller that takes hosts in: {error}") from None
    except ValueError:
        raise SiteAway(f"{address}:{port} shows no certificate of a site") from None
    if found != wanted_sha256:
        raise SiteAway(
            f"the controller at {address}:{port} is of another site than this token"
            " (its CA has another fingerprint): nothing was told to it"
        )
    trusted = ssl.create_default_context(cadata=ca)
    trusted.minimum_version = ssl.TLSVersion.TLSv1_3
    return ca, trusted
