"""A person says that a host is dead: what was heard of it comes first.

No sign of life is passed over.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import structs

from holdfast.adapters.drivers.person_proof import confirmed_dead
from holdfast.controller.fencing import failure_words
from holdfast.controller.life_signs import SAID, LifeSigns
from holdfast.controller.registry import Puts, Registry
from holdfast.facts.fencing import Fence, FenceDevice, FenceStep
from holdfast.facts.hearing import Sign, WitnessSpoke
from holdfast.facts.promises import Group, Owner, Protection
from holdfast.facts.tenure import RESTORED, TenureState, Wanted
from holdfast.policy import rebuilding
from holdfast.policy.site_world import is_of_lease
from holdfast.ports import clock
from holdfast.ports.answers import REFUSED, USAGE, Unanswerable
from holdfast.ports.fencer import FenceFailed, Fencer

PLAIN = msgspec.to_builtins
POWER_LIMIT_S = 8.0
REASON_LETTERS = 500
NO_OTHER = "the site has no other host"


@dataclass(frozen=True)
class Ears:
    """What is asked whether a host lives: this controller's own ears, and all others."""

    signs: LifeSigns
    sign_of: Callable[[str], Sign]
    is_reliable: Callable[[], bool]
    is_linked: Callable[[str], bool]
    planes: Callable[[], Sequence[str]]
    probe: Callable[[str, str], Awaitable[Sign]]
    ask_peers: Callable[[str], Awaitable[Sequence[WitnessSpoke]]]
    lease_words: Callable[[str], str]


@dataclass(frozen=True)
class Looked:
    """`lives`: why nobody may say that it is dead. `shown`: all that was found, its power first:
    that is what people are told of it at once."""

    lives: tuple[str, ...]
    shown: tuple[str, ...]


class Confirming:
    """`find_host` gives the row of a host or raises Unanswerable; `running_on` names the VMs that
    its agent said to run there; within `hold_power` nobody switches the host off; `say` tells what
    was confirmed."""

    def __init__(
        self,
        *,
        registry: Registry,
        fencer: Fencer,
        ears: Ears,
        find_host: Callable[[str], dict[str, Any]],
        running_on: Callable[[str], Mapping[str, str]],
        hold_power: Callable[[str], AbstractAsyncContextManager[str]],
        say: Callable[[str], None],
    ) -> None:
        self._hold_power = hold_power
        self._registry, self._fencer, self._ears = registry, fencer, ears
        self._find_host, self._running_on, self._say = find_host, running_on, say

    async def ask(self, args: Mapping[str, Any], by: str, term: int) -> dict[str, Any]:
        """What is known of its life, and what would happen. With its name as `confirmed` it is so.

        Raises Unanswerable, StoreAway.
        """
        row = self._find_host(str(args["host"]))
        host, name = str(row["host"]), str(row["host_name"])
        confirmed, because = str(args.get("confirmed") or ""), str(args.get("because") or "")
        if confirmed:
            _check_words(name, confirmed, because)
            return await self._ask_at_rest(row, by, because.strip(), term)
        looked = await self._look(host)
        return {**_known(row, looked, self._vms(host)), "hindered": self._hindered(row)}

    async def _ask_at_rest(
        self, row: dict[str, Any], by: str, because: str, term: int
    ) -> dict[str, Any]:
        """A person who says so may switch the host on at once, to see what it has: a power-off that
        is under way would then hit what is well."""
        host = str(row["host"])
        async with self._hold_power(host) as power:
            looked = await self._look(host, is_at_rest=not power)
            if power:
                looked = Looked(looked.lives, (power, *looked.shown))
            fence = await self._confirm(row, by, because, term, looked)
        return {**_known(row, looked, self._vms(host)), "power": power, "fence": PLAIN(fence)}

    # Whether it lives.

    async def _look(self, host: str, *, is_at_rest: bool = False) -> Looked:
        """`is_at_rest`: nobody switched it off just now, so that its devices may be asked."""
        planes = list(self._ears.planes())
        devices = self._registry.fencing(host).devices if is_at_rest else self._devices(host)
        power = asyncio.gather(*(self._power(one) for one in devices))
        probes = asyncio.gather(*(self._ears.probe(host, plane) for plane in planes))
        peers, answers, powers = await asyncio.gather(self._ears.ask_peers(host), probes, power)
        lives = list(self._heard_here(host))
        shown = list(self._ears.signs.tell(host, clock.now()))
        for plane, sign in zip(planes, answers, strict=True):
            if sign in (Sign.PULSE, Sign.KERNEL):
                who = "it" if sign is Sign.PULSE else "its kernel"
                lives.append(f"{who} answered on plane {plane} just now")
            if sign is Sign.UNKNOWN:
                shown.append(f"plane {plane}: it cannot be asked, its address there is not known")
            else:
                shown.append(f"asked now on plane {plane}: {SAID[sign]}")
        for spoke in peers:
            if spoke.sign in (Sign.PULSE, Sign.KERNEL):
                lives.append(f"controller {spoke.witness} hears it now")
            shown.append(f"controller {spoke.witness}, asked now: {SAID[spoke.sign]}")
        lease = self._ears.lease_words(host)
        return Looked(tuple(lives), (*powers, *([lease] if lease else []), *shown))

    def _heard_here(self, host: str) -> Iterator[str]:
        if not self._ears.is_reliable():
            yield "this controller was too slow to know: it listens anew, try again in a moment"
        if self._ears.sign_of(host) is Sign.PULSE:
            yield "its pulses arrive at this controller"
        if self._ears.is_linked(host):
            yield (
                "its agent is linked (a host that lost power leaves its link open for some seconds)"
            )

    def _devices(self, host: str) -> tuple[FenceDevice, ...]:
        fence = self._registry.fence(host)
        is_busy = fence is not None and fence.is_switching
        return () if is_busy else self._registry.fencing(host).devices

    async def _power(self, device: FenceDevice) -> str:
        try:
            async with asyncio.timeout(POWER_LIMIT_S):
                said = f"it is {await self._fencer.power(device)}"
        except FenceFailed as failed:
            said = failure_words(failed, device)
        except TimeoutError:
            said = f"no answer in {POWER_LIMIT_S:g} s"
        return f"{device.agent}, asked now for its power: {said}"

    # What would happen.

    def _hindered(self, row: Mapping[str, Any]) -> str:
        """Why nothing would start elsewhere for now, or empty."""
        disarm = self._registry.disarm()
        if disarm is not None:
            why = f"{disarm.owner} switched recovery off: {disarm.reason}"
            return f"nothing starts elsewhere until it is on again (holdfast arm): {why}"
        return self._proven_words(row) if self._is_proven(row) else ""

    def _vms(self, host: str) -> Iterator[dict[str, str]]:
        """Each VM that the host holds; without `stays` it starts elsewhere."""
        groups = self._registry.groups()
        is_alone = all(one.host == host for one in self._registry.all_known())
        held = [one for one in self._registry.protections().values() if one.tenure.host == host]
        for one in sorted(held, key=lambda protection: protection.name):
            yield {
                "vm": one.vm,
                "name": one.name,
                "stays": self._why_it_stays(one, groups) or (NO_OTHER if is_alone else ""),
            }
        known = self._registry.protections()  # What another host holds is none of this one's.
        for vm, name in sorted(self._running_on(host).items(), key=lambda pair: pair[1]):
            if vm not in known:
                yield {"vm": vm, "name": name, "stays": "it is not protected"}

    def _why_it_stays(self, one: Protection, groups: Mapping[str, Group]) -> str:
        group = groups.get(one.group)
        definition = self._registry.definition(one.vm)
        reasons = {
            "it is wanted stopped": one.tenure.wanted is Wanted.STOPPED,
            "it is in doubt what its host held: protect it again": one.tenure.boot
            in ("", RESTORED),
            "it was moving to another host": one.tenure.state is TenureState.MIGRATING,
            f"its recovery is owned by {group.owner if group else 'nobody'}": group is None
            or group.owner is not Owner.HOLDFAST,
            "no controller was told its definition": definition is None,
        }
        first = next((reason for reason, is_so in reasons.items() if is_so), "")
        if first or definition is None or group is None:
            return first
        return rebuilding.obstacle(definition.needs, one, group)

    # Saying it.

    async def _confirm(
        self, row: Mapping[str, Any], by: str, because: str, term: int, looked: Looked
    ) -> Fence:
        host, name = str(row["host"]), str(row["host_name"])
        number = self._number(host)

        def wanted() -> Puts:
            """Looked at once more, right before the store is told."""
            known = self._registry.fence(host)
            if known is not None and known.number == number and known.by == by:
                return {}  # The store took it, and did not say so.
            lives = list(dict.fromkeys([*looked.lives, *self._heard_here(host)]))
            if lives:
                text = f"{name} shows a sign of life: {'; '.join(lives)}"
                raise Unanswerable(text, f"switch it off first; then: {_again(name)}", REFUSED)
            if self._is_proven(row):
                hint = f"its story: holdfast explain {name}"
                raise Unanswerable(self._proven_words(row), hint, REFUSED)
            return {f"fences/{host}": self._fence(row, by, because, term, number, looked)}

        await self._registry.change(wanted)
        fence = self._registry.fence(host)
        assert fence is not None
        self._say(f"{by} says that {name} is dead ({because}): its VMs may start elsewhere")
        return fence

    def _number(self, host: str) -> int:
        known = self._registry.fence(host)
        return known.number + 1 if known else 1

    def _fence(
        self,
        row: Mapping[str, Any],
        by: str,
        because: str,
        term: int,
        number: int,
        looked: Looked,
    ) -> Fence:
        host, utc_ms = str(row["host"]), clock.utc_ms()
        newest, *earlier = self._boots(row)
        fence = Fence(
            host=host,
            name=str(row["host_name"]),
            boot=newest,
            earlier=tuple(earlier),
            incident=str(row.get("incident") or ""),
            number=number,
            term=term,
            step=FenceStep.OFF,
            reason=because,
            by=by,
            intended_utc_ms=utc_ms,
            proven_utc_ms=utc_ms,
        )
        return structs.replace(fence, proof=confirmed_dead(fence, by, because, looked.shown))

    def _boots(self, row: Mapping[str, Any]) -> list[str]:
        """The newest that is known, then all others that hold a VM, or to which one was moving.

        Raises Unanswerable.
        """
        host = str(row["host"])
        known = self._registry.known(host)
        held = [
            one.tenure.boot
            for one in self._registry.protections().values()
            if one.tenure.host == host and one.tenure.boot not in ("", RESTORED)
        ]
        moves = self._registry.migrations().values()
        held += [one.target_boot for one in moves if one.is_open and one.target == host]
        told = [str(row.get("boot") or ""), known.boot if known else "", *sorted(held)]
        boots = [boot for boot in dict.fromkeys(told) if boot]
        if not boots:
            text = f"no boot of {row['host_name']} was ever heard of: it holds nothing"
            raise Unanswerable(text, "holdfast host list", REFUSED)
        return boots

    def _is_proven(self, row: Mapping[str, Any]) -> bool:
        """All that is known to have run there: a boot that came later is not."""
        fence = self._registry.fence(str(row["host"]))
        if fence is None or fence.step is not FenceStep.OFF or is_of_lease(fence):
            return False  # A lease that ran out proves only what relied on it.
        return {fence.boot, *fence.earlier}.issuperset(self._boots(row))

    def _proven_words(self, row: Mapping[str, Any]) -> str:
        fence = self._registry.fence(str(row["host"]))
        how = f"{fence.by} said so" if fence and fence.by else "its power was read back off"
        return f"{row['host_name']} is proven dead already: {how}"


def _known(row: Mapping[str, Any], looked: Looked, vms: Iterator[dict[str, str]]) -> dict[str, Any]:
    return {
        "host": row["host"],
        "host_name": row["host_name"],
        "lives": looked.lives,
        "signs": looked.shown,
        "vms": list(vms),
    }


def _check_words(name: str, confirmed: str, because: str) -> None:
    """Raises Unanswerable."""
    if confirmed != name:
        text = f"the host is called {name}, and {confirmed[:60]!r} was typed: nothing was done"
        raise Unanswerable(text, f"look which of them is dead, then: {_again(name)}", USAGE)
    if not because.strip():
        raise Unanswerable("it must be said how you know that it is dead", _again(name), USAGE)
    if len(because) > REASON_LETTERS:
        text = f"say in {REASON_LETTERS} letters or less how you know that it is dead"
        raise Unanswerable(text, _again(name), USAGE)


def _again(name: str) -> str:
    return f'holdfast host confirm-dead {name} --because "how you know"'
