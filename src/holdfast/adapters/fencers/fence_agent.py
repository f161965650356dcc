"""Any fence agent of ClusterLabs: one for nearly every BMC, power switch and hypervisor there is.

An agent is asked twice: to switch off, and then, in a new run, what the power is. Only the second
answer makes a proof, and only where the agent's code and its words both say off: the code alone, 2,
is also what a shell or Python ends with when it cannot begin. It is never told to switch on.
"""

import asyncio
import difflib
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.adapters.drivers.fence_metadata import (
    Metadata,
    input_lines,
    is_secret,
    last_words,
    reaches_out,
    read_metadata,
    read_status,
)
from holdfast.adapters.drivers.held_program import SHORTEST_S, Ended, run_program
from holdfast.facts.fencing import Fence, FenceDevice
from holdfast.facts.tenure import DeathProof, ProofKind
from holdfast.ports.fencer import FenceFailed, PowerState

FOLDERS = (Path("/usr/sbin"), Path("/sbin"), Path("/usr/bin"))
NAME = re.compile(r"fence_[a-z0-9_]+")
# Agents that say off of a host which may be running.
PROVES_NOTHING = {
    "fence_crosslink": "takes a silent cable for a dead host",
    "fence_dummy": "switches nothing off",
    "fence_evacuate": "tells Nova that a host is dead, and does not make sure",
    "fence_sbd": "leaves a message that the host itself must obey",
}
DESCRIBE_LIMIT_S = 10.0
READ_BACK_SHARE, READ_BACK_S = 0.25, 10.0  # Of the deadline; kept for reading the power back.
AFTER_FAILURE_S = 5.0  # The next device waits: but a host that is off is off.
LOOK_AGAIN_S, ONE_LOOK_S = 1.0, 1.0
CODE_ON, CODE_OFF = 0, 2
HINTS = (
    (
        "certificate verify failed",
        (
            "This controller does not know who signed its certificate: install that CA on every"
            " controller; or --option ssl_insecure=1, which asks whoever answers at that address."
        ),
    ),
    ("login", "Check its user and its secret."),
    ("privileges", "Give its user the right to switch power."),
    ("unable to run", "Install the program that it names on every controller."),
    ("plug status", "Check the name or number of its plug, and that it answers by hand."),
    ("power off", "It took the order and the host stays on: look at the host and its BMC."),
)
# IPMI knows no plugs: its agent says so of a wrong password.
NO_PLUG_HINT = (
    "It means the whole server: check its user, its password and its address, and that IPMI over"
    " LAN is on there."
)
KILLED_HINT = "See on this controller's host what ended it: its kernel's log (journalctl -k)."
ANY_HINT = (
    "Check that its address is right and reached from this controller, and its user and secret."
)

# Nothing of ours: agents are foreign programs, and our environment may hold secrets. What Python
# warns the authors of an agent of is no word of the device.
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "PYTHONWARNINGS": "ignore",
}


class FenceAgent:
    """See ports.fencer.Fencer. `folders` is where agents are looked for; `useless` names those
    that prove nothing, each with the reason."""

    def __init__(
        self,
        folders: Sequence[Path] = FOLDERS,
        useless: Mapping[str, str] = PROVES_NOTHING,
    ) -> None:
        self._folders, self._useless = folders, useless
        self._described: dict[tuple[Path, int], Metadata] = {}

    async def check(self, device: FenceDevice) -> None:
        errand, metadata = await self._begin(device)
        if missing := metadata.missing(errand.values):
            raise FenceFailed(
                f"{device.agent} needs {' and '.join(missing)}, and that is not given; give it."
            )
        if "validate-all" in metadata.actions:
            ended = await errand.run("validate-all")
            if ended.code != 0:
                raise errand.failure("takes these options for wrong", ended, hint="Correct them.")

    async def power(self, device: FenceDevice) -> PowerState:
        errand, _ = await self._begin(device)
        return errand.state_of(await errand.run("status"))

    async def switch_off(self, fence: Fence, device: FenceDevice) -> DeathProof:
        errand, _ = await self._begin(device)
        kept_s = min(READ_BACK_S, device.deadline_s * READ_BACK_SHARE)
        ended = await errand.run("off", errand.left_s - kept_s)
        failure = None
        if ended.code != 0:
            failure = errand.failure(f"could not switch {fence.name} off", ended)
        off_s = errand.since_s
        await errand.wait_off(fence, failure)
        all_s = errand.since_s
        return DeathProof(
            kind=ProofKind.POWER,
            host=fence.host,
            boot=fence.boot,
            earlier=fence.earlier,
            shown=(
                _done(fence, device, ended),
                f"asked anew, {device.agent} read the power of {fence.name} back: off",
                f"the order took {off_s:.1f} s, all of it {all_s:.1f} s",
            ),
            took_ms=round(all_s * 1_000),
        )

    async def _begin(self, device: FenceDevice) -> "tuple[_Errand, Metadata]":
        """Look at everything that can be wrong before an agent is asked."""
        errand = _Errand(device, self._find(device.agent))
        metadata = await self._describe(errand)
        _refuse_actions(device.agent, metadata)
        _refuse_values(device, metadata)
        return errand, metadata

    def _find(self, agent: str) -> Path:
        if NAME.fullmatch(agent) is None:
            raise FenceFailed(
                f"{agent!r} is no name of a fence agent: they are called fence_..., with small"
                " letters, digits and underscores. Correct it."
            )
        if reason := self._useless.get(agent):
            raise FenceFailed(f"{agent} {reason}, so it proves nothing. Use an agent of the power.")
        for folder in self._folders:
            path = folder / agent
            if path.is_file() and os.access(path, os.X_OK):
                return path
        known = {path.name for folder in self._folders for path in folder.glob("fence_*")}
        near = difflib.get_close_matches(agent, sorted(known), n=2)
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        raise FenceFailed(
            f"{agent} is not installed here{hint} `scripts/install controller` installs the fence"
            " agents of the distribution: they are needed on every controller."
        )

    async def _describe(self, errand: "_Errand") -> Metadata:
        try:
            key = errand.program, errand.program.stat().st_mtime_ns
        except OSError:
            raise FenceFailed(f"{errand.device.agent} was just taken away. Ask again.") from None
        if key not in self._described:
            ended = await errand.ask(["-o", "metadata"], b"", DESCRIBE_LIMIT_S)
            if ended.code != 0:
                raise errand.failure("does not describe itself", ended, hint="Install it anew.")
            try:
                self._described[key] = read_metadata(ended.said)
            except ValueError as error:
                raise FenceFailed(
                    f"{errand.device.agent} is no fence agent: {error}. Install it anew."
                ) from None
        return self._described[key]


def _refuse_actions(agent: str, metadata: Metadata) -> None:
    for action in ("off", "status"):
        if action not in metadata.actions:
            raise FenceFailed(
                f"{agent} knows no action `{action}`, so it cannot prove that a host is off."
                " Use an agent that switches off and reads the power back."
            )
    if metadata.is_fabric:
        raise FenceFailed(
            f"{agent} cuts a host off from storage or network and leaves it running, so it proves"
            " nothing about its power. Use an agent of the power."
        )


def _refuse_values(device: FenceDevice, metadata: Metadata) -> None:
    if device.deadline_s <= 0:
        raise FenceFailed(f"a deadline of {device.deadline_s} s is over before it began: raise it.")
    for name, value in (*device.options.items(), *device.secrets.items()):
        if name not in metadata.parameters:
            near = difflib.get_close_matches(name, metadata.parameters, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else "Take it away."
            raise FenceFailed(f"{device.agent} has no option {name!r} that may be given; {hint}")
        if reaches_out(name):
            raise FenceFailed(
                f"{name} lets whoever sets a fence device run a program or write a file on this"
                " controller: that is not for a device to say. Take it away."
            )
        if any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in value):
            raise FenceFailed(
                f"the value of {name} holds a line break or another control character, which"
                f" {device.agent} would take for more options. Give it on one line."
            )
    for name in device.options:
        if is_secret(name):
            raise FenceFailed(f"{name} would be shown to everybody: give it as a secret instead.")
    if twice := device.options.keys() & device.secrets.keys():
        raise FenceFailed(f"{min(twice)} is given twice: as an option and as a secret. Keep one.")


def _done(fence: Fence, device: FenceDevice, ended: Ended) -> str:
    if ended.code != 0:
        return f"{device.agent} was told to switch {fence.name} off, and said that it failed"
    if "already off" in ended.said.lower():
        return f"{device.agent} found the power of {fence.name} off already"
    return f"{device.agent} switched the power of {fence.name} off"


@dataclass
class _Errand:
    """One call on one device, with its deadline."""

    device: FenceDevice
    program: Path

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        self.values = {**self.device.options, **self.device.secrets}
        self._half_s = 0.0  # What ends before it, and not by itself, was not ended by us.

    @property
    def since_s(self) -> float:
        return self._loop.time() - self._began_s

    @property
    def left_s(self) -> float:
        return self.device.deadline_s - self.since_s

    async def run(self, action: str, limit_s: float | None = None) -> Ended:
        """Without a limit: until the deadline."""
        return await self.ask([], input_lines(action, self.values), limit_s)

    async def ask(self, words: list[str], given: bytes, limit_s: float | None) -> Ended:
        limit_s = self.left_s if limit_s is None else min(limit_s, self.left_s)
        if limit_s < SHORTEST_S:
            raise self.overran()
        self._half_s = self.since_s + limit_s / 2
        try:
            return await run_program([str(self.program), *words], given, limit_s, ENVIRONMENT)
        except OSError as error:
            raise FenceFailed(
                f"{self.device.agent} cannot be started: {error.strerror}. Free some memory or"
                " processes on this controller."
            ) from None

    def state_of(self, ended: Ended) -> PowerState:
        """What a run with `status` says; raises FenceFailed where its code and words disagree."""
        status = read_status(ended.said)
        if (ended.code, status) == (CODE_ON, "on"):
            return PowerState.ON
        if (ended.code, status) == (CODE_OFF, "off"):
            return PowerState.OFF
        raise self.failure("does not say whether the host has power", ended)

    async def wait_off(self, fence: Fence, failure: FenceFailed | None) -> None:
        """Ask until the power is off. A BMC may need a moment; one that failed before gets less."""
        last = failure
        while True:
            limit_s = self.left_s if failure is None else min(AFTER_FAILURE_S, self.left_s)
            try:
                if self.state_of(await self.run("status", limit_s)) is PowerState.OFF:
                    return
                last = FenceFailed(
                    f"{self.device.agent} says that {fence.name} has power, {self.since_s:.0f} s"
                    " after it was told to switch it off. Look at the host and its BMC."
                )
            except FenceFailed as error:
                last = error
            if failure is not None:
                raise failure
            if self.left_s < LOOK_AGAIN_S + ONE_LOOK_S:
                raise last
            await asyncio.sleep(LOOK_AGAIN_S)

    def failure(self, what: str, ended: Ended, hint: str = "") -> FenceFailed:
        words = last_words(ended.said, ended.complained, self.device.secrets.values())
        is_killed = ended.code is None and self.since_s < self._half_s
        if ended.code is None:
            by = "something on this controller's host" if is_killed else "us"
            how = f"it was ended by {by} after {self.since_s:.1f} s"
        else:
            how = f"signal {-ended.code}" if ended.code < 0 else f"code {ended.code}"
        said = f"{words} ({how})" if words else f"it said nothing ({how})"
        fits = [known for key, known in HINTS if key in words.lower()]
        if is_killed or (ended.code or 0) < 0:
            fits = [KILLED_HINT]
        if "plug status" in words.lower() and not {"plug", "port"} & self.values.keys():
            fits = [NO_PLUG_HINT]
        return FenceFailed(f"{self.device.agent} {what}: {said}. {hint or (*fits, ANY_HINT)[0]}")

    def overran(self) -> FenceFailed:
        return FenceFailed(
            f"{self.device.agent} did not end within {self.device.deadline_s} s. {ANY_HINT}"
        )


PLUGIN = FenceAgent
