"""A token lets one host join once: ID.SECRET.FINGERPRINT, of which the store keeps only a hash."""

import asyncio
import hashlib
import hmac
import logging
import secrets
from typing import Any

from msgspec import structs

from holdfast.controller.site_list import SiteList, utc_ms
from holdfast.facts.membership import JOINS, JoinToken
from holdfast.ports.answers import USAGE, Unanswerable, unknown
from holdfast.ports.store import StoreAway

log = logging.getLogger(__name__)

LONGEST_S = 30 * 24 * 3_600
NEW = "make another, on a controller: holdfast ca token new"


class JoinTokens:
    """`fingerprint` is of the site's CA: who joins knows by it that the site is the right one."""

    def __init__(self, members: SiteList, fingerprint: str) -> None:
        self._members, self._fingerprint = members, fingerprint
        self._tasks: set[asyncio.Task[None]] = set()

    async def make(self, *, is_controller: bool, for_s: int, by: str) -> dict[str, Any]:
        if not 1 <= for_s <= LONGEST_S:
            raise Unanswerable("a token holds from 1 s to 30 days", "", USAGE)
        word, secret, now = secrets.token_hex(4), secrets.token_urlsafe(24), utc_ms()
        token = JoinToken(
            id=word,
            secret_sha256=_hash(secret),
            is_controller=is_controller,
            made_utc_ms=now,
            until_utc_ms=now + for_s * 1_000,
            made_by=by,
        )
        await self._members.change(JOINS, word, JoinToken, lambda _before: token)
        return {
            "token": f"{word}.{secret}.{self._fingerprint}",
            "id": word,
            "is_controller": is_controller,
            "until_utc_ms": token.until_utc_ms,
        }

    async def look(self, token: str) -> None:
        """Whether it would serve a host; this does not spend it. Raises Unanswerable, StoreAway."""
        word, secret = _read(token)
        _refuse(await self._members.get(JOINS, word, JoinToken), word, secret)

    async def use(self, token: str, *, host_name: str, is_controller: bool) -> JoinToken:
        """Spend a token. Raises StoreAway; and Unanswerable, also when another host spent it at
        the same time."""
        word, secret = _read(token)
        spent: JoinToken | None = None

        def spend(held: JoinToken | None) -> JoinToken:
            nonlocal spent
            if held is not None and held == spent:
                return held  # By us, a moment ago: the store's answer was lost.
            held = _refuse(held, word, secret)
            if is_controller and not held.is_controller:
                text = f"the token {word} is for a host, not for a controller"
                raise Unanswerable(text, f"{NEW} --controller")
            if held.is_controller and not is_controller:
                text = f"the token {word} is for a controller, and this host would be none"
                hint = "type it again with --controller: it serves still; or, for a host alone,"
                raise Unanswerable(text, f"{hint} {NEW}")
            spent = structs.replace(held, used_by=host_name, used_utc_ms=utc_ms())
            return spent

        try:
            await self._members.change(JOINS, word, JoinToken, spend)
        except StoreAway:
            if spent is not None:  # It may have been.
                self.give_back_later(spent)
            raise
        assert spent is not None
        return spent

    async def give_back(self, token: JoinToken) -> None:
        """What was spent on a join that came to nothing serves again. Raises StoreAway."""

        def unspend(held: JoinToken | None) -> JoinToken | None:
            is_ours = held is not None and held == token
            return structs.replace(token, used_by="", used_utc_ms=0) if is_ours else held

        await self._members.insist(JOINS, token.id, JoinToken, unspend)

    def give_back_later(self, token: JoinToken) -> None:
        """Likewise, as soon as the store answers."""
        task = asyncio.create_task(self._give_back(token))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _give_back(self, token: JoinToken) -> None:
        while token.until_utc_ms > utc_ms():
            try:
                await self.give_back(token)
            except StoreAway as away:
                log.debug("the token %s is not given back yet: %s", token.id, away)
            else:
                return

    async def revoke(self, word: str) -> JoinToken:
        name = word.partition(".")[0]

        def ended(held: JoinToken | None) -> JoinToken:
            if held is None:
                raise unknown("token", name, self._members.tokens, "holdfast ca token list")
            return held if held.revoked_utc_ms else structs.replace(held, revoked_utc_ms=utc_ms())

        done = await self._members.change(JOINS, name, JoinToken, ended)
        assert done is not None
        return done

    def rows(self) -> list[dict[str, Any]]:
        rows = []
        for token in sorted(self._members.tokens.values(), key=lambda one: one.made_utc_ms):
            row = structs.asdict(token)
            del row["secret_sha256"]
            rows.append({**row, "state": _state(token)})
        return rows


def _read(token: str) -> tuple[str, str]:
    """Its id and its secret. Raises Unanswerable."""
    word, _, rest = token.strip().partition(".")
    if not word.isalnum():
        raise Unanswerable("this token is none of this site, or was mistyped", NEW)
    return word, rest.partition(".")[0]


def _refuse(held: JoinToken | None, word: str, secret: str) -> JoinToken:
    """The token if it serves. Raises Unanswerable."""
    if held is None or not hmac.compare_digest(held.secret_sha256, _hash(secret)):
        raise Unanswerable("this token is none of this site, or was mistyped", NEW)
    new = f"{NEW} --controller" if held.is_controller else NEW
    if held.revoked_utc_ms:
        raise Unanswerable(f"the token {word} was revoked", new)
    if held.used_by:
        text = f"the token {word} was used already, by {held.used_by}: each serves once"
        raise Unanswerable(text, new)
    if held.until_utc_ms <= utc_ms():
        raise Unanswerable(f"the token {word} has expired", new)
    return held


def _state(token: JoinToken) -> str:
    if token.used_by:
        return "used"
    if token.revoked_utc_ms:
        return "revoked"
    return "expired" if token.until_utc_ms <= utc_ms() else "open"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
