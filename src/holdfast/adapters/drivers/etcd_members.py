"""Who belongs to etcd's cluster: a new member learns first, so that it never costs the others.

Through etcd's own JSON gateway, one blocking call each: for a person's command, or a thread.
"""

import base64
import http.client
import json
import ssl
import time
import urllib.parse
from collections.abc import Sequence
from typing import Any

from holdfast.facts.membership import StoreMember

CALL_LIMIT_S = 5.0
AGAIN_EACH_S = 0.5


class MembersAway(Exception):
    """No member of the store answered, or it refused; the text says why."""


class EtcdMembers:
    def __init__(self, endpoints: Sequence[str], tls: ssl.SSLContext | None) -> None:
        self._endpoints, self._tls = tuple(endpoints), tls

    def members(self) -> list[StoreMember]:
        """Raises MembersAway."""
        return [_member(one) for one in self._ask("/v3/cluster/member/list", {}).get("members", [])]

    def add_learner(self, peer_url: str, limit_s: float) -> list[StoreMember]:
        """All members, the new one too. One that was there before begins anew, without its data.

        etcd takes nobody in until all who are in have been well for some seconds.
        """
        for member in self._at(peer_url):
            self.remove(member.id, limit_s)
        deadline = time.monotonic() + limit_s
        while True:
            try:
                self._ask("/v3/cluster/member/add", {"peerURLs": [peer_url], "isLearner": True})
                return self.members()
            except MembersAway:
                if self._at(peer_url):  # It was done, and only the answer was lost.
                    return self.members()
                if time.monotonic() > deadline:
                    raise
                time.sleep(AGAIN_EACH_S)

    def _at(self, peer_url: str) -> list[StoreMember]:
        return [member for member in self.members() if member.peer_url == peer_url]

    def promote(self, peer_url: str, limit_s: float) -> None:
        """Give it a vote as soon as it has caught up; one that has it is left so."""
        found = self._at(peer_url)
        if not found:
            raise MembersAway(f"the store has no member at {peer_url}")
        member = found[0]
        if member.is_learner:
            self._ask_until("/v3/cluster/member/promote", {"ID": member.id}, limit_s)

    def remove(self, member_id: str, limit_s: float) -> None:
        """Likewise etcd lets nobody go until enough of the others have been well for a while."""
        self._ask_until("/v3/cluster/member/remove", {"ID": member_id}, limit_s)

    def wait_ready(self, limit_s: float) -> None:
        """Until it can be read from a quorum. Raises MembersAway."""
        self._ask_until("/v3/kv/range", {"key": _b64(b"\0"), "limit": 1}, limit_s)

    def _ask_until(self, path: str, body: dict[str, Any], limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while True:
            try:
                self._ask(path, body)
                return
            except MembersAway:
                if time.monotonic() > deadline:
                    raise
                time.sleep(AGAIN_EACH_S)

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        reasons = []
        for endpoint in self._endpoints:
            try:
                return self._ask_one(endpoint, path, body)
            except (OSError, http.client.HTTPException, ValueError) as error:
                reasons.append(f"{endpoint}: {error}")
        raise MembersAway("; ".join(reasons) or "no endpoint of the store is known")

    def _ask_one(self, endpoint: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        parts = urllib.parse.urlsplit(endpoint)
        host = parts.hostname or ""
        link = (
            http.client.HTTPSConnection(host, parts.port, timeout=CALL_LIMIT_S, context=self._tls)
            if parts.scheme == "https"
            else http.client.HTTPConnection(host, parts.port, timeout=CALL_LIMIT_S)
        )
        try:
            link.request("POST", path, json.dumps(body))
            answer = link.getresponse()
            said: dict[str, Any] = json.loads(answer.read())
        finally:
            link.close()
        if answer.status != http.client.OK:
            raise ValueError(str(said.get("error") or said.get("message") or answer.status))
        return said


def _member(said: dict[str, Any]) -> StoreMember:
    return StoreMember(
        id=str(said.get("ID", "")),
        name=str(said.get("name", "")),
        peer_url=next(iter(said.get("peerURLs", [])), ""),
        is_learner=bool(said.get("isLearner")),
    )


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
