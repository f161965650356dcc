"""Mends the virtual switch from what is on record of it: flows, ports, links, and its daemons."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from msgspec.structs import replace

from holdfast.adapters.menders.process import ProcessMender
from holdfast.adapters.menders.unit import UnitMender
from holdfast.facts.actions import TryRepair
from holdfast.facts.vswitch import bridge_of
from holdfast.ports.mender import Mender, MendFailed
from holdfast.ports.switch import NotMended, Switch

BY: dict[str, Callable[[], Mender]] = {"unit": UnitMender, "process": ProcessMender}
LOOK = "look at the cable, the transceiver, and the port at the other end"


class SwitchMender:
    """The agent hands over its switch, which keeps the record: without it nothing is mended."""

    def __init__(self, switch: Switch | None = None) -> None:
        self._switch = switch

    async def mend(self, asked: TryRepair) -> str:
        """The step's `args` are what is done, and a file that says that somebody works on the
        switch; `restart` and the mender that does it, with its own arguments; or `start` and units
        of its database, whose restart by systemd would take the daemon along."""
        act, first, *rest = asked.step.args
        if act == "start":
            return await UnitMender(verb="start").mend(_with_args(asked, (first, *rest)))
        if self._switch is None:
            raise MendFailed("nobody keeps a record of the virtual switch here")
        try:
            async with asyncio.timeout(asked.limit_ms / 1_000):
                if act == "restart":
                    return await self._restart(self._switch, asked, first, tuple(rest))
                if Path(first).exists():
                    raise MendFailed(f"{first} says that somebody works on the switch")
                return await ACTS[act](self._switch, asked)
        except NotMended as trouble:
            raise MendFailed(str(trouble)) from None
        except TimeoutError:
            raise
        except OSError as trouble:
            raise MendFailed(f"the switch cannot be asked: {trouble}") from None

    async def _restart(
        self, switch: Switch, asked: TryRepair, by: str, args: tuple[str, ...]
    ) -> str:
        """Where nothing is on record there is nothing to keep."""
        inner = _with_args(asked, args)
        if not switch.has_record:
            return await BY[by]().mend(inner)
        return await switch.restart(lambda: BY[by]().mend(inner))


def _with_args(asked: TryRepair, args: tuple[str, ...]) -> TryRepair:
    return replace(asked, step=replace(asked.step, args=args))


async def _flows(switch: Switch, asked: TryRepair) -> str:
    return await switch.restore_flows(bridge_of(asked.subject))


async def _ports(switch: Switch, asked: TryRepair) -> str:
    """All that are missing now: the fault names only some of them."""
    bridge = bridge_of(asked.subject)
    missing = await switch.missing_ports(bridge)
    if not missing:
        raise MendFailed(f"no port that is on record is missing from {bridge}")
    return await _all(switch.rebuild_port, missing)


async def _links(switch: Switch, asked: TryRepair) -> str:
    """Only what is switched off here can be mended here."""
    uplinks = [name for name in asked.evidence.get("uplinks", "").split(", ") if name]
    off = switch.switched_off(uplinks)
    if off:
        return await _all(switch.raise_link, off, at_least_one=True)
    taken_out = set(await switch.missing_ports(bridge_of(asked.subject))) & set(uplinks)
    if taken_out:
        return f"{', '.join(sorted(taken_out))} is not in the switch: what mends that comes now"
    raise MendFailed(f"nothing of {', '.join(uplinks)} is switched off here: {LOOK}")


async def _all(
    act: Callable[[str], Awaitable[str]], names: Iterable[str], *, at_least_one: bool = False
) -> str:
    came = await asyncio.gather(*map(act, names), return_exceptions=True)
    failed = [one for one in came if isinstance(one, BaseException)]
    for one in failed:
        if not isinstance(one, NotMended):
            raise one
    if len(failed) == len(came) or (failed and not at_least_one):
        raise NotMended("; ".join(map(str, failed)))
    return "; ".join(map(str, came))


ACTS: dict[str, Callable[[Switch, TryRepair], Awaitable[str]]] = {
    "flows": _flows,
    "ports": _ports,
    "links": _links,
}

PLUGIN: type[Mender] = SwitchMender
