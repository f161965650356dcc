"""The fence devices of each host, and whether Holdfast acts on it: kept in the store.

Secrets go in, reach the fence agent, and are told to nobody else.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import structs

from holdfast.adapters.drivers.fence_metadata import is_secret, mask
from holdfast.controller.registry import Puts, Registry
from holdfast.facts.fencing import Fence, FenceDevice, HostFencing, HostMode
from holdfast.policy.fence_targets import shared_with
from holdfast.policy.rehearsals import what_helps, why_not_fenceable
from holdfast.ports import clock
from holdfast.ports.answers import REFUSED, USAGE, Unanswerable
from holdfast.ports.fencer import FenceFailed, Fencer

AGENT = re.compile(r"fence_[A-Za-z0-9_]{1,60}")
OPTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}")
MOST_OPTIONS, MOST_LETTERS, MOST_DEVICES = 50, 1_000, 5
DEADLINE_S = (5, 300)
LONGEST_DUMP_S = 1_800
CHECK_LIMIT_S = 20.0  # Less than whoever asks waits.
HELP = "holdfast fence set --help"


class Fencing:
    """`find_host` gives the row of a host by its name or id, or raises Unanswerable; `say` tells
    what changed."""

    def __init__(
        self,
        registry: Registry,
        fencer: Fencer,
        find_host: Callable[[str], dict[str, Any]],
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._registry, self._fencer = registry, fencer
        self._find_host, self._say = find_host, say

    async def set_device(self, args: Mapping[str, Any], by: str) -> dict[str, Any]:
        """Put a device at its place of the ladder: a new one at the end, or another in its stead.

        Raises Unanswerable, StoreAway.
        """
        row = self._find_host(str(args["host"]))
        host, name = str(row["host"]), str(row["host_name"])
        place, device = int(args.get("level") or 1), read_device(args)
        self._check_place(host, name, place)
        self._check_shared(host, name, device)
        try:
            async with asyncio.timeout(CHECK_LIMIT_S):
                await self._fencer.check(device)
        except TimeoutError:
            text = f"{device.agent} does not say within {CHECK_LIMIT_S:g} s what it needs"
            raise Unanswerable(text, "is this controller busy? try again", REFUSED) from None
        except FenceFailed as failed:
            text = mask(str(failed), device.secrets.values())
            raise Unanswerable(text, "", REFUSED) from None

        def changed(devices: tuple[FenceDevice, ...]) -> tuple[FenceDevice, ...]:
            self._check_place(host, name, place)
            self._check_shared(host, name, device)
            return (*devices[: place - 1], device, *devices[place:])

        await self._change_ladder(host, by, changed)
        self._say(f"{name} has the fence device {device.agent} at place {place} (set by {by})")
        return {**self.row(host), "host_name": name}

    async def clear(self, args: Mapping[str, Any], by: str) -> dict[str, Any]:
        """Take one device away, or all. A host on which nothing can act any more is reported only.

        Raises Unanswerable, StoreAway.
        """
        row = self._find_host(str(args["host"]))
        host, name = str(row["host"]), str(row["host_name"])
        place = int(args.get("level") or 0)

        def changed(devices: tuple[FenceDevice, ...]) -> tuple[FenceDevice, ...]:
            if not devices:
                raise Unanswerable(f"{name} has no fence device", "holdfast fence list", USAGE)
            if not 0 <= place <= len(devices):
                text = f"{name} has no fence device at place {place}, only {len(devices)} in all"
                raise Unanswerable(text, "holdfast fence list", USAGE)
            return (*devices[: place - 1], *devices[place:]) if place else ()

        was = self._registry.fencing(host).mode
        await self._change_ladder(host, by, changed)
        now = self._registry.fencing(host)
        which = f"the fence device at place {place}" if place else "its fence devices"
        self._say(f"{name} has lost {which} (cleared by {by})")
        is_over = was is HostMode.ACT and now.mode is HostMode.REPORT
        warning = f"{name} was in mode act: from now on it is only reported" if is_over else ""
        return {**self.row(host), "host_name": name, "warning": warning}

    async def set_mode(self, args: Mapping[str, Any], by: str) -> dict[str, Any]:
        """Act on a host from now on, or only report. Raises Unanswerable, StoreAway."""
        row = self._find_host(str(args["host"]))
        host, name = str(row["host"]), str(row["host_name"])
        mode, dump_wait_s = _read_mode(str(args["mode"])), _read_wait(args.get("dump_wait_s"))
        was = self._registry.fencing(host).mode

        def wanted() -> Puts:
            held = self._registry.fencing(host)
            if mode is HostMode.ACT and not held.devices and not self._may_lease():
                text = f"{name} has no fence device: nobody could switch it off"
                raise Unanswerable(text, what_helps(name, ()), REFUSED)
            wait_s = held.dump_wait_s if dump_wait_s is None else dump_wait_s
            if (held.mode, held.dump_wait_s) == (mode, wait_s):
                return {}
            return {f"fencing/{host}": _stamped(held, by, mode=mode, dump_wait_s=wait_s)}

        await self._registry.change(wanted)
        if was is not mode:
            does = "acts" if mode is HostMode.ACT else "only reports"
            self._say(f"Holdfast {does} when {name} is silent, from now on (set by {by})")
        return {
            **self.row(host),
            "host_name": name,
            "was": str(was),
            "warning": self._warning(host),
        }

    def _may_lease(self) -> bool:
        """Whether VMs rely on leases anywhere: those of a host without a device may be its own."""
        return any(group.lease for group in self._registry.groups().values())

    def row(self, host: str) -> dict[str, Any]:
        """What may be shown of it: names of secrets, never their values."""
        held, newest = self._registry.fencing(host), self._registry.rehearsal(host)
        why = why_not_fenceable(held, newest, clock.utc_ms())
        tried = newest.devices if newest else ()
        return {
            "host": host,
            "mode": str(held.mode),
            "dump_wait_s": held.dump_wait_s,
            "devices": [
                {
                    "agent": one.agent,
                    "options": one.options,
                    "secrets": sorted(one.secrets),
                    "deadline_s": one.deadline_s,
                    "said": tried[place].said if place < len(tried) else "",
                    "is_well": tried[place].is_well if place < len(tried) else None,
                }
                for place, one in enumerate(held.devices)
            ],
            "rehearsed_utc_ms": newest.utc_ms if newest else 0,
            "is_fenceable": not why,
            "why_not": why,
            "set_by": held.set_by,
            "set_utc_ms": held.set_utc_ms,
        }

    def _warning(self, host: str) -> str:
        """Of a host on which Holdfast acts from now on, and could not."""
        held = self._registry.fencing(host)
        why = why_not_fenceable(held, self._registry.rehearsal(host), clock.utc_ms())
        return why if held.mode is HostMode.ACT else ""

    def _check_shared(self, host: str, name: str, device: FenceDevice) -> None:
        other = shared_words(self._registry, host, device)
        if other:
            text = f"{device.agent} {other}: a fence of {name} would switch off the wrong host"
            hint = (
                "give its own address; on a shared chassis or power strip, its own plug\n"
                "if the other one is gone, or has it by mistake: holdfast fence clear HOST"
            )
            raise Unanswerable(text, hint, REFUSED)

    def _check_place(self, host: str, name: str, place: int) -> None:
        devices = self._registry.fencing(host).devices
        if 1 <= place <= min(len(devices) + 1, MOST_DEVICES):
            return
        if place > MOST_DEVICES:
            raise Unanswerable(f"a ladder has {MOST_DEVICES} places at most", HELP, USAGE)
        count = f"{len(devices)} fence device{'' if len(devices) == 1 else 's'}"
        text = f"{name} has {count}: the next place is {len(devices) + 1}, not {place}"
        raise Unanswerable(text, "holdfast fence list", USAGE)

    async def _change_ladder(
        self,
        host: str,
        by: str,
        changed: Callable[[tuple[FenceDevice, ...]], tuple[FenceDevice, ...]],
    ) -> None:
        """What was rehearsed was another ladder: that ends with it. Nothing is done twice where
        the store does not say whether it took a change."""
        before = self._registry.fencing(host)
        devices = changed(before.devices)
        mode = before.mode if devices else HostMode.REPORT
        now = _stamped(before, by, devices=devices, mode=mode)

        def wanted() -> Puts:
            held = self._registry.fencing(host)
            if held not in (before, now):
                text = f"{held.set_by or 'somebody'} changed this host's fencing meanwhile"
                raise Unanswerable(text, "look at it, and try again: holdfast fence list", REFUSED)
            return {f"fencing/{host}": now, f"rehearsals/{host}": None}

        await self._registry.change(wanted)


def shared_words(registry: Registry, host: str, device: FenceDevice) -> str:
    """That another host has the very same device, or empty. A host that was made anew may have
    left its device to an earlier id of its name; one that left the site has none."""

    def name(one: str) -> str:
        known = registry.known(one)
        return known.host_name if known else one

    others = (
        one
        for one in registry.all_fencing()
        if registry.known(one.host) is not None and name(one.host) != name(host)
    )
    other = shared_with(host, device, others)
    return f"is the device of {name(other)} as well" if other else ""


def fencing_words(
    registry: Registry, host: str, lease_troubles: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Beside what is heard of a host: what becomes of it when it dies, and whether it is in
    maintenance."""
    held = registry.fencing(host)
    why = why_not_fenceable(held, registry.rehearsal(host), clock.utc_ms())
    return {
        "mode": str(held.mode),
        "is_fenceable": not why,
        "why_not_fenceable": why,
        "dump_wait_s": held.dump_wait_s,
        "fence_devices": [one.agent for one in held.devices],
        "fence": _fence_words(registry.fence(host)),
        "is_drained": host in registry.drains(),
        "predicted": one.reason if (one := registry.predictions().get(host)) else "",
        "lease": _lease_words(registry, host),
        "lease_trouble": (lease_troubles or {}).get(host, ""),
    }


def _lease_words(registry: Registry, host: str) -> list[str]:
    """Names of the VMs that rely on its lease, as it acknowledged."""
    lease, promised = registry.lease(host), registry.protections()
    return sorted(promised[vm].name for vm in (lease.vms if lease else ()) if vm in promised)


def _fence_words(fence: Fence | None) -> dict[str, Any] | None:
    """How far the newest fence of a host has come."""
    if fence is None:
        return None
    return {
        "number": fence.number,
        "step": str(fence.step),
        "by": fence.by,
        "doubt": fence.doubt,
        "reason": fence.reason,
        "intended_utc_ms": fence.intended_utc_ms,
        "proven_utc_ms": fence.proven_utc_ms,
        "took_ms": fence.proof.took_ms if fence.proof is not None else 0,
    }


def failure_words(failed: FenceFailed, device: FenceDevice) -> str:
    """What went wrong, to be read after the agent's name; some agents repeat their secrets."""
    said = mask(str(failed), device.secrets.values())
    return said.removeprefix(f"{device.agent} ").removesuffix(".")


def read_device(args: Mapping[str, Any]) -> FenceDevice:
    """Raises Unanswerable for the first thing that does not fit, never with a secret in it."""
    agent = str(args.get("agent") or "")
    if not AGENT.fullmatch(agent):
        text = f"{agent[:60]!r} is no fence agent: their names begin with fence_"
        raise Unanswerable(text, "fence_ipmilan and fence_redfish switch most servers off", USAGE)
    options = _read_words("options", args.get("options") or {})
    secrets = _read_words("secrets", args.get("secrets") or {})
    for name in options:
        if is_secret(name):
            hint = f"--secret {name} asks for it without showing it"
            raise Unanswerable(f"{name} is a secret, and no option", hint, USAGE)
    deadline_s = args.get("deadline_s")
    if deadline_s is None:
        deadline_s = FenceDevice(agent=agent).deadline_s
    least, most = DEADLINE_S
    if not isinstance(deadline_s, int) or not least <= deadline_s <= most:
        raise Unanswerable(f"a deadline is from {least} s to {most} s", HELP, USAGE)
    return FenceDevice(agent=agent, options=options, secrets=secrets, deadline_s=deadline_s)


def _read_words(what: str, given: Any) -> dict[str, str]:
    """Each goes to the agent on a line of its own, so none may hold the end of one."""
    try:
        words = msgspec.convert(given, dict[str, str])
    except msgspec.ValidationError:
        raise Unanswerable(f"{what} are names with texts", HELP, USAGE) from None
    if len(words) > MOST_OPTIONS:
        raise Unanswerable(f"{len(words)} {what} are too many for one device", HELP, USAGE)
    for name, value in words.items():
        if not OPTION.fullmatch(name):
            raise Unanswerable(f"{name[:60]!r} is no name of an option", HELP, USAGE)
        if not value or len(value) > MOST_LETTERS or not value.isprintable():
            text = f"{name} must be one line of 1 to {MOST_LETTERS} printable letters"
            raise Unanswerable(text, HELP, USAGE)
    return words


def _read_mode(text: str) -> HostMode:
    try:
        return HostMode(text)
    except ValueError:
        hint = "holdfast host mode HOST act|report"
        raise Unanswerable(f"there is no mode {text[:60]!r}", hint, USAGE) from None


def _read_wait(seconds: Any) -> int | None:
    """None: as it was."""
    if seconds is None:
        return None
    most = LONGEST_DUMP_S
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 <= seconds <= most:
        text = f"a host that panicked is left alone for 0 to {most} s, not {seconds!r:.20}"
        raise Unanswerable(text, "holdfast host mode --help", USAGE)
    return seconds


def _stamped(held: HostFencing, by: str, **more: Any) -> HostFencing:
    return structs.replace(held, set_by=by, set_utc_ms=clock.utc_ms(), **more)
