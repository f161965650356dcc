"""What `holdfast ca` asks a controller: its CA, tokens, certificates."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from holdfast.adapters.drivers.authority import fingerprint
from holdfast.controller.joining import Joining
from holdfast.facts import wire
from holdfast.facts.membership import Issued
from holdfast.ports.answers import Unanswerable, unknown

TOKEN_S = 3_600
Handler = Callable[[wire.Question], Awaitable[Any]]


class SiteQuestions:
    def __init__(self, joining: Joining) -> None:
        self._joining = joining

    def handlers(self) -> dict[str, Handler]:
        return {
            "ca": self._ask_ca,
            "site": self._ask_site,
            "joins": self._ask_tokens,
            "join-new": self._token_new,
            "join-revoke": self._token_revoke,
            "certificates": self._ask_certificates,
            "certificate-revoke": self._certificate_revoke,
        }

    async def _ask_ca(self, _asked: wire.Question) -> Any:
        return {
            "fingerprint": fingerprint(self._joining.ca_pem),
            "certificate": self._joining.ca_pem,
        }

    async def _ask_site(self, _asked: wire.Question) -> Any:
        await self._joining.read()
        return self._joining.site()

    async def _ask_tokens(self, _asked: wire.Question) -> Any:
        await self._joining.read()
        return self._joining.tokens.rows()

    async def _token_new(self, asked: wire.Question) -> Any:
        is_controller = bool(asked.args.get("controller"))
        if is_controller and not self._joining.has_room_for_controllers:
            raise Unanswerable(
                "this site's store is a file: it has one controller, and no room for another",
                "first, on this host: holdfast init --controllers 3",
            )
        for_s = int(asked.args.get("for_s", TOKEN_S))
        return await self._joining.tokens.make(
            is_controller=is_controller, for_s=for_s, by=asked.by
        )

    async def _token_revoke(self, asked: wire.Question) -> Any:
        await self._joining.read()
        return {"revoked": (await self._joining.tokens.revoke(str(asked.args["id"]))).id}

    async def _ask_certificates(self, _asked: wire.Question) -> Any:
        await self._joining.read()
        issued = sorted(self._joining.members.issued.values(), key=_in_order)
        return [msgspec.to_builtins(one) for one in issued]

    async def _certificate_revoke(self, asked: wire.Question) -> Any:
        """By serial: that one. By host: all that it has, and the site forgets the host.

        Not while it holds VMs that nobody could bring back then, unless the one who asks says so.
        """
        await self._joining.read()
        name, reason = str(asked.args["name"]), str(asked.args.get("reason") or "no reason given")
        is_certain = bool(asked.args.get("even_with_vms"))
        if name in self._joining.members.issued:
            one = self._joining.members.issued[name]
            others = [two for two in self._joining.members.valid() if two.host == one.host]
            if not is_certain and [two.serial for two in others] == [name]:
                self._joining.refuse_stranding(one.host, one.host_name)
            await self._joining.revoke(name, reason, asked.by)
            await self._joining.look()
            return {"revoked": [name], "hosts": [one.host_name]}
        issued = self._joining.members.issued.values()
        named = [one for one in issued if name in (one.host, one.host_name)]
        if not named:
            known = {one.host_name for one in issued}
            raise unknown("host or certificate", name, known, "holdfast ca certificate list")
        # A host that left and joined again has another id, and the same name.
        of_host = [one for one in named if not one.revoked_utc_ms] or named
        if any(one.host == self._joining.own_host for one in of_host):
            text = f"{name} is the controller that would do it"
            raise Unanswerable(text, "ask another controller, or: holdfast leave, on that host")
        hosts = sorted({one.host for one in of_host})
        for host in hosts if not is_certain else ():
            self._joining.refuse_stranding(host, of_host[0].host_name)
        for host in hosts:
            await self._joining.put_out(host, of_host[0].host_name, reason, asked.by)
        await self._joining.look()
        return {
            "revoked": [one.serial for one in of_host],
            "hosts": sorted({one.host_name for one in of_host}),
        }


def _in_order(one: Issued) -> tuple[int, bool]:
    """As they were made; of two in one millisecond, the one that the other replaced comes first."""
    return one.made_utc_ms, not one.revoked_utc_ms
