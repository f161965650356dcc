"""What a host last said of itself and of its VMs: it is here when the host is lost.

Four bounded files of lines a host, like the copies of its VMs' recorders: its kernel's log, its
hardware's part of it, pressure, and what firmware kept of an earlier boot. Each line has its boot.
"""

from pathlib import Path
from typing import Any

import msgspec

from holdfast.controller.agents import Agent, Agents
from holdfast.controller.copies import Copies
from holdfast.facts import wire
from holdfast.facts.last_words import Noted, Sample
from holdfast.ports.answers import unknown
from holdfast.ports.journal import Losses

FILES_KEPT = 4_000  # Of a thousand hosts.
LINES_SHOWN, HARDWARE_SHOWN, PRESSURES_SHOWN = 60, 40, 6
NOTES_SHOWN = 3
VMS_SHOWN = 200
READ_LINES = 400
ALL_LINES = 100_000  # More than a copy holds: what was before may be far from its end.
KERNEL, HARDWARE, PRESSURE, EARLIER = "kernel", "hardware", "pressure", "earlier"


class HostWords:
    """`copies` are the VMs' own. Reading and writing block: call them in a thread."""

    def __init__(self, folder: Path, agents: Agents, copies: Copies) -> None:
        self._kept = Copies(folder, FILES_KEPT)
        self._agents, self._copies = agents, copies

    def losses(self) -> Losses:
        return self._kept.losses()

    def take(self, host: str, said: wire.HostRecords) -> None:
        """Those of a boot that a host did not name are kept too: they are the newest there are."""
        pressure = msgspec.json.encode(said.pressure).decode() if said.pressure else ""
        earlier = [
            msgspec.json.encode([name, text]).decode() for name, text in said.earlier.items()
        ]
        lanes = {
            KERNEL: said.kernel_log,
            HARDWARE: said.hardware,
            PRESSURE: [f"{said.utc_ms}\t{pressure}"] if pressure else [],
            EARLIER: earlier,
        }
        pieces = {
            f"{host}.{lane}": "\n".join(f"{said.boot}\t{_one_line(text)}" for text in lines)
            for lane, lines in lanes.items()
            if lines
        }
        self._kept.add(pieces)

    def find(self, name: str) -> Agent | None:
        """By the host's name or id."""
        agents = self._agents.by_host.values()
        return next((one for one in agents if name in (one.host, one.host_name)), None)

    def tell(self, name: str, until_utc_ms: int = 0) -> dict[str, Any]:
        """Its VMs as they were up to then, or now: another host may run them since. Raises
        Unanswerable: no such host."""
        agent = self.find(name)
        if agent is None:
            known = [one.host_name for one in self._agents.by_host.values()]
            raise unknown("host", name, known, "holdfast status")
        host = agent.host
        boot, pressures = self._pressures(host)
        return {
            "host": host,
            "host_name": agent.host_name,
            "is_up": agent.link is not None,
            "boot": boot,
            "kernel_log": self._lines(host, KERNEL, boot, LINES_SHOWN),
            "hardware": self._lines(host, HARDWARE, boot, HARDWARE_SHOWN),
            "pressure": pressures,
            "earlier": self._earlier(host, boot),
            "vms": [self.tell_vm(vm.vm, vm.name, until_utc_ms) for vm in agent.vms[:VMS_SHOWN]],
            "vms_left_out": max(0, len(agent.vms) - VMS_SHOWN),
        }

    def tell_vm(self, vm: str, name: str, until_utc_ms: int = 0) -> dict[str, Any]:
        """The newest of a VM's recorder (up to then), as far as it can be read."""
        samples: list[Sample] = []
        notes: list[Noted] = []
        for line in self._copies.newest(vm, ALL_LINES if until_utc_ms else READ_LINES):
            try:
                one = _recorded.decode(line)
            except msgspec.DecodeError:
                continue
            if until_utc_ms and one.utc_ms > until_utc_ms:
                continue
            if isinstance(one, Sample):
                samples.append(one)
            else:
                notes.append(one)
        return {
            "vm": vm,
            "name": name,
            "told_utc_ms": max(
                [0, *(s.utc_ms for s in samples[-1:]), *(n.utc_ms for n in notes[-1:])]
            ),
            "samples": msgspec.to_builtins(samples[-2:]),
            "notes": msgspec.to_builtins([n for n in notes if n.kind != "console"][-NOTES_SHOWN:]),
            "console": "".join(one.text for one in notes if one.kind == "console")[-400:],
        }

    def _lines(self, host: str, lane: str, boot: str, most: int) -> list[str]:
        """Of one boot: what an earlier one said is another story."""
        split = (line.partition("\t") for line in self._kept.newest(f"{host}.{lane}", READ_LINES))
        return [text for of, _, text in split if of == boot][-most:]

    def _pressures(self, host: str) -> tuple[str, list[dict[str, Any]]]:
        """The boot that spoke last, and its newest pressures."""
        boot = ""
        found: list[dict[str, Any]] = []
        for line in self._kept.newest(f"{host}.{PRESSURE}", READ_LINES):
            of, _, said = line.partition("\t")
            stamp, _, raw = said.partition("\t")
            if not stamp.isdigit():
                continue
            if of != boot:
                boot, found = of, []
            found.append({"utc_ms": int(stamp), "said": _plain(raw)})
        if not found:
            last = self._kept.newest(f"{host}.{KERNEL}", 1)
            boot = last[0].partition("\t")[0] if last else ""
        return boot, found[-PRESSURES_SHOWN:]

    def _earlier(self, host: str, boot: str) -> dict[str, str]:
        said = {}
        for line in self._lines(host, EARLIER, boot, READ_LINES):
            pair = _plain(line)
            if isinstance(pair, list) and len(pair) == 2:
                said[str(pair[0])] = str(pair[1])
        return said


_recorded: msgspec.json.Decoder[Sample | Noted] = msgspec.json.Decoder(Sample | Noted)


def _plain(raw: str) -> Any:
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return None


def _one_line(text: str) -> str:
    """Whatever splits a line for somebody must not split ours."""
    return " ".join(text.splitlines())
