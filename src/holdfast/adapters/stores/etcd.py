"""The store in etcd, for three controllers: what two of its members wrote down is never lost.

The leader holds a key that lives as long as its lease. The term is the revision at which that key
was made, and every transaction of a leader has it among its conditions.
"""

import logging
import math
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

from holdfast.adapters.drivers.etcd_gateway import (
    EtcdGateway,
    Json,
    MayHaveHappened,
    Refused,
    coded,
    text_of,
)
from holdfast.ports.store import MOST_KEYS, Changed, Held, StoreAway, Txn, TxnResult, WatchLost

log = logging.getLogger(__name__)

HELD = b"/holdfast/held/"
LEADER = b"/holdfast/leader"
RANGE, TXN, WATCH = "/v3/kv/range", "/v3/kv/txn", "/v3/watch"
GRANT, KEEP, REVOKE = "/v3/lease/grant", "/v3/lease/keepalive", "/v3/lease/revoke"
_LEADER = {"key": coded(LEADER)}


class Etcd:
    """See ports.store.Store. `tls` holds this controller's own certificate."""

    def __init__(
        self,
        endpoints: tuple[str, ...],
        tls: ssl.SSLContext | None = None,
        *,
        gateway: EtcdGateway | None = None,
    ) -> None:
        self._etcd = gateway or EtcdGateway(endpoints, tls)
        self._leases: dict[int, str] = {}  # By term.

    async def begin_term(self, owner: str, lease_ms: int) -> int | None:
        found = await self._leader()
        if found is not None:
            is_ours = text_of(found.get("value", "")) == owner.encode() and "lease" in found
            if not is_ours:
                return None  # Without a lease a person made it, and a person must end it.
            await self._revoke(found["lease"])  # The key goes with it.
        lease = await self._grant(lease_ms)
        made = {"key": coded(LEADER), "value": coded(owner.encode()), "lease": lease}
        ask = {
            "compare": [_revision_is("CREATE", "create_revision", LEADER, 0)],
            "success": [{"request_put": made}],
        }
        try:
            done = await self._write(TXN, ask)
            term = _revision(done) if done.get("succeeded") else None
        except MayHaveHappened:
            after = await self._leader()
            is_ours = after is not None and after.get("lease") == lease
            term = int(after["create_revision"]) if is_ours and after is not None else None
        if term is None:
            await self._revoke(lease)
            return None
        self._leases = {term: lease}
        return term

    async def keep_term(self, term: int) -> bool:
        """The lease first, then whether the key is still ours: read through the quorum, since a
        member that was cut off renews leases that the others have forgotten."""
        lease = self._leases.get(term)
        if lease is None:
            return False
        kept = (await self._read(KEEP, {"ID": lease})).get("result", {})
        if int(kept.get("TTL", 0)) <= 0:
            return False
        return await self._is_current(term)

    async def end_term(self, term: int) -> None:
        lease = self._leases.pop(term, None)
        if lease is not None and await self._is_current(term):
            await self._revoke(lease)

    async def leader(self) -> str:
        found = await self._leader()
        return text_of(found.get("value", "")).decode(errors="replace") if found else ""

    async def wait_vacant(self) -> None:
        answer = await self._read(RANGE, _LEADER)
        if not answer.get("kvs"):
            return
        create = {**_LEADER, "start_revision": str(_revision(answer) + 1)}
        async for result in self._stream(create):
            if result.get("canceled"):
                return
            if any(event.get("type") == "DELETE" for event in result.get("events", ())):
                return

    async def newest(self) -> int:
        return _revision(await self._read(RANGE, {**_LEADER, "count_only": True}))

    async def get(self, key: str) -> Held | None:
        found = (await self._read(RANGE, {"key": _coded(key)})).get("kvs")
        return _held(found[0]) if found else None

    async def list(self, prefix: str) -> dict[str, Held]:
        ask = {**_all_under(prefix), "sort_target": "KEY", "sort_order": "ASCEND"}
        found = (await self._read(RANGE, ask)).get("kvs", ())
        return {_key(one): _held(one) for one in found}

    async def txn(
        self,
        *,
        holds: Mapping[str, int],
        puts: Mapping[str, bytes | None],
        term: int | None = None,
    ) -> Txn:
        if max(len(holds), len(puts)) > MOST_KEYS:
            raise ValueError(f"a transaction has at most {MOST_KEYS} keys")
        compare = [
            _revision_is("MOD", "mod_revision", HELD + key.encode(), revision)
            for key, revision in holds.items()
        ]
        if term is not None:
            compare.append(_revision_is("CREATE", "create_revision", LEADER, term))
        ask = {"compare": compare, "success": [_put(key, value) for key, value in puts.items()]}
        try:
            done = await self._write(TXN, ask)
        except MayHaveHappened as unknown:
            log.warning("whether the store took a change is not known: %s", unknown)
            return Txn(result=TxnResult.UNKNOWN)
        if not done.get("succeeded"):
            return Txn(result=TxnResult.REFUSED)
        return Txn(result=TxnResult.COMMITTED, revision=_revision(done))

    async def watch(self, prefix: str, after_revision: int) -> AsyncIterator[Changed | WatchLost]:
        """It goes on through another member when one fails; only what was compacted is lost."""
        newest = await self.newest()
        if after_revision > newest:
            yield WatchLost(reason=f"the store is at revision {newest}: it is an older copy")
            return
        seen, failed = after_revision, ""
        while True:
            create = {**_all_under(prefix), "start_revision": str(seen + 1)}
            try:
                async for result in self._stream(create):
                    if result.get("canceled"):
                        yield WatchLost(reason=_why_canceled(result))
                        return
                    failed = ""
                    for event in result.get("events", ()):
                        change = _changed(event)
                        yield change
                        seen = change.revision
            except StoreAway as away:
                if failed:
                    raise
                failed = str(away)
                log.info("a watch of the store goes on elsewhere: %s", away)
                await self.newest()  # Raises StoreAway when no member serves.

    async def close(self) -> None:
        await self._etcd.close()

    async def _stream(self, create: Json) -> AsyncIterator[Json]:
        stream = self._etcd.stream(WATCH, {"create_request": create}, _LEADER)
        try:
            async for line in stream:
                if "result" not in line:
                    raise StoreAway(f"the store ended a watch: {line.get('error')}")
                yield line["result"]
        finally:
            await stream.aclose()  # type: ignore[attr-defined]

    async def _leader(self) -> Json | None:
        found = (await self._read(RANGE, _LEADER)).get("kvs")
        return dict(found[0]) if found else None

    async def _is_current(self, term: int) -> bool:
        found = await self._leader()
        return found is not None and int(found["create_revision"]) == term

    async def _grant(self, lease_ms: int) -> str:
        """A lease that nobody uses ends by itself: it may be granted twice."""
        seconds = math.ceil(lease_ms / 1_000)
        return str((await self._read(GRANT, {"TTL": str(seconds)}))["ID"])

    async def _revoke(self, lease: str) -> None:
        try:
            await self._etcd.read(REVOKE, {"ID": lease})
        except Refused as refused:
            if not refused.is_not_found:
                raise StoreAway(f"the store refuses to end a lease: {refused}") from None

    async def _read(self, path: str, ask: Json) -> Json:
        try:
            return await self._etcd.read(path, ask)
        except Refused as refused:
            raise _refusal(refused) from None

    async def _write(self, path: str, ask: Json) -> Json:
        try:
            return await self._etcd.write(path, ask)
        except Refused as refused:
            raise _refusal(refused) from None


def _refusal(refused: Refused) -> StoreAway:
    text = str(refused)
    if "space exceeded" in text:
        return StoreAway("the store is full: etcdctl compact, defrag, then alarm disarm")
    return StoreAway(f"the store refuses: {text}")


def _revision_is(target: str, field: str, key: bytes, revision: int) -> Json:
    return {"key": coded(key), "target": target, "result": "EQUAL", field: str(revision)}


def _put(key: str, value: bytes | None) -> Json:
    if value is None:
        return {"request_delete_range": {"key": _coded(key)}}
    return {"request_put": {"key": _coded(key), "value": coded(value)}}


def _all_under(prefix: str) -> Json:
    first = HELD + prefix.encode()
    return {"key": coded(first), "range_end": coded(first[:-1] + bytes([first[-1] + 1]))}


def _revision(answer: Json) -> int:
    return int(answer["header"]["revision"])


def _coded(key: str) -> str:
    return coded(HELD + key.encode())


def _key(found: Json) -> str:
    return text_of(found["key"]).removeprefix(HELD).decode()


def _held(found: Json) -> Held:
    """An empty value is left out of the JSON, like every zero."""
    return Held(value=text_of(found.get("value", "")), revision=int(found["mod_revision"]))


def _changed(event: Any) -> Changed:
    found = event["kv"]
    is_deleted = event.get("type") == "DELETE"
    value = None if is_deleted else text_of(found.get("value", ""))
    return Changed(key=_key(found), value=value, revision=int(found["mod_revision"]))


def _why_canceled(result: Json) -> str:
    if "compact_revision" in result:
        return f"changes before revision {result['compact_revision']} are forgotten"
    return str(result.get("cancel_reason") or "the store ended the watch")


PLUGIN = Etcd
