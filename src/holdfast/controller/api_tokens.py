"""Tokens of the API: made once, shown once, kept as digests in the store, ended by time or hand."""

import hashlib
import hmac
import re
import secrets
from typing import Any

import msgspec

from holdfast.controller.registry import Puts, Registry
from holdfast.facts.roles import Role
from holdfast.facts.tokens import Token, TokenShown
from holdfast.ports import clock
from holdfast.ports.answers import REFUSED, USAGE, Unanswerable, unknown

PREFIX = "holdfast"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
DAY_S = 24 * 3_600
LASTS_S = 90 * DAY_S
LONGEST_S = 3_650 * DAY_S
USED_EVERY_MS = 60_000
_NOBODY = Token(name="", role=Role.SEE, digest="0" * 64, made_by="", made_utc_ms=0, until_utc_ms=0)


class TokenRefused(Exception):
    """The text says why, without a word on which names there are."""


class ApiTokens:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._used: dict[str, int] = {}

    def check(self, text: str) -> Token:
        """Whose token this is. Raises TokenRefused, and Unanswerable before the store was read."""
        if not self._registry.is_loaded:
            raise Unanswerable("tokens cannot be checked: the store was not read yet", "", 3)
        _, _, rest = text.partition(f"{PREFIX}.")
        name, _, _ = rest.partition(".")
        held = self._registry.tokens().get(name)
        # The same work for a name that is not known, so that time tells nothing of names.
        is_right = hmac.compare_digest(_digest(text), (held or _NOBODY).digest)
        if held is None or not is_right:
            raise TokenRefused("this token is not known")
        now = clock.utc_ms()
        if held.until_utc_ms <= now:
            raise TokenRefused(f"the token {name} has ended")
        if now - self._used.get(name, 0) > USED_EVERY_MS:
            self._used[name] = now
        return held

    def all(self) -> list[TokenShown]:
        return [
            TokenShown(
                name=token.name,
                role=token.role,
                made_by=token.made_by,
                made_utc_ms=token.made_utc_ms,
                until_utc_ms=token.until_utc_ms,
                used_utc_ms=self._used.get(token.name),
            )
            for token in self._registry.tokens().values()
        ]

    async def create(self, args: dict[str, Any], by: str) -> Any:
        """The only time that the token itself is said. Raises Unanswerable, StoreAway."""
        name, role = str(args["name"]), Role(args["role"])
        if not NAME.fullmatch(name):
            text = f"{name!r} is no name: use small letters, digits and - inside, up to 31"
            raise Unanswerable(text, "holdfast token create NAME --role ROLE", USAGE)
        lasts_s = float(args.get("seconds", LASTS_S))
        if not 1 <= lasts_s <= LONGEST_S:
            raise Unanswerable("a token lasts from 1 s to 10 years", "use --for 90d", USAGE)
        now = clock.utc_ms()
        told = f"{PREFIX}.{name}.{secrets.token_urlsafe(32)}"
        token = Token(
            name=name,
            role=role,
            digest=_digest(told),
            made_by=by,
            made_utc_ms=now,
            until_utc_ms=now + int(lasts_s * 1_000),
        )

        def wanted() -> Puts:
            held = self._registry.tokens().get(name)
            if held is not None and held != token and held.until_utc_ms > now:
                hint = f"another name, or first: holdfast token revoke {name}"
                raise Unanswerable(f"there is a token {name} already", hint, REFUSED)
            return {f"api-tokens/{name}": token}

        await self._registry.change(wanted)
        self._used.pop(name, None)
        shown = {key: value for key, value in msgspec.to_builtins(token).items() if key != "digest"}
        return {**shown, "token": told}

    async def revoke(self, name: str) -> Any:
        """Raises Unanswerable, StoreAway."""

        def wanted() -> Puts:
            return {f"api-tokens/{name}": None}

        if name not in self._registry.tokens():
            raise unknown("token", name, self._registry.tokens(), "holdfast token list")
        await self._registry.change(wanted)
        self._used.pop(name, None)
        return {"name": name}


def _digest(text: str) -> str:
    """Secrets are 256 random bits: there is nothing for a slow digest to protect."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
