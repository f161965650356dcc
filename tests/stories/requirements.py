"""Writes docs/REQUIREMENTS.md: what Holdfast must do, what covers it, and how far it is.

    python -m tests.stories.requirements        (make requirements)

Stories say `# covers: H6 H20`, tests the same in their docstring, alarm types in the catalogue.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from holdfast.facts.catalogue import CATALOGUE

PROJECT = Path(__file__).parents[2]
STORIES = PROJECT / "tests/stories"
PAGE = PROJECT / "docs/REQUIREMENTS.md"
FIGURES = PROJECT / "docs/figures.json"
COVERS = re.compile(r"^(?:# )?covers: (H\d+(?: H\d+)*)$", re.MULTILINE)

WORKS, PARTLY, NOT_YET = "works", "partly", "not yet"


class Requirement(Struct, frozen=True, kw_only=True):
    """`limits` says what is missing where the state is not *works*."""

    id: str
    text: str
    state: str = NOT_YET
    limits: str = ""
    drills: tuple[str, ...] = ()


REQUIREMENTS = (
    Requirement(
        id="H1",
        text="A hardware fault is repaired here first, else the VIM takes over.",
        state=PARTLY,
        limits="The repair ladder mends processes, the virtual switch, memory pages, and where "
        "asked RAIDs, PCIe devices and CPUs; links of hardware it does not, and no hardware was "
        "mended in a drill. That a host could not mend itself is no reason to fence it.",
        drills=("process-killed", "process-frozen"),
    ),
    Requirement(
        id="H2",
        text="VMs migrate: by command, by drain, and before a failure foreseen.",
        state=PARTLY,
        limits="The hardware's alarms foresee it; that VMs move away a person must still say.",
        drills=("drain", "source-dies-in-migration", "target-dies-in-migration"),
    ),
    Requirement(id="H3", text="The hypervisor isolates VMs: CPU, memory, storage."),
    Requirement(id="H4", text="The host isolates VMs too, and guests cannot starve the agent."),
    Requirement(
        id="H5",
        text="Every fault is an alarm with time, place, kind and severity: raised, changed, "
        "cleared; none is lost while the VIM is away.",
        state=PARTLY,
        limits="Hosts, their hardware and virtual switch, VMs, libvirt, itself; no other network.",
        drills=("vm-killed",),
    ),
    Requirement(
        id="H6",
        text="A VM's failure reaches the VIM within 1 s; wanted stops raise nothing.",
        state=WORKS,
        drills=(
            "vm-killed",
            "vm-panicked",
            "vm-stuck",
            "vm-watchdog",
            "vm-io-error",
            "vm-stopped-on-purpose",
            "agent-killed-then-vm-killed",
        ),
    ),
    Requirement(
        id="H7",
        text="A host's failure reaches the VIM within 1 s: suspected, then confirmed or retracted.",
        state=PARTLY,
        limits="Confirmed only where a person lets Holdfast act on the host, or gives the proof.",
        drills=(
            "host-power-cut",
            "host-frozen",
            "host-cut-off",
            "one-plane-lost",
            "agent-killed",
            "agent-restarted",
            "libvirt-killed",
            "libvirt-frozen",
            "leader-killed",
            "leader-and-host-killed",
            "storm",
            "quiet",
            "fencer-broken",
            "bmc-gone-with-host",
            "lease-runs-out",
            "watchdog-bites",
            "too-many-hosts-lost",
        ),
    ),
    Requirement(
        id="H8",
        text="VMs are recorded as they run; the last words of a dead one are kept.",
        state=PARTLY,
        limits="On one host; a copy of the recorder goes to its controller.",
        drills=("vm-killed", "vm-panicked"),
    ),
    Requirement(
        id="H9",
        text="The promised number of VMs is kept: failed ones come back and answer, or an alarm "
        "says why not.",
        state=PARTLY,
        limits="A VNF manager that owns the recovery of its VMs is told of all, and not asked.",
        drills=(
            "vm-killed",
            "host-power-cut",
            "host-returns",
            "leader-dies-in-recovery",
            "controllers-all-lost",
        ),
    ),
    Requirement(id="H10", text="Large sites keep storage and compute on different hosts."),
    Requirement(id="H11", text="Storage services are redundant, and one failure from outage says."),
    Requirement(id="H12", text="Data is stored redundantly, and that is read back."),
    Requirement(id="H13", text="Storage repairs itself, and a repair that stalls is an alarm."),
    Requirement(id="H14", text="The storage path fails over within 1 s of a link's failure."),
    Requirement(
        id="H15",
        text="Disks that are not shared are never assumed to be elsewhere.",
        state=PARTLY,
        limits="What has a vTPM, or a block device of its host as disk, is not made anew: it is "
        "kept in place.",
        drills=("host-power-cut",),
    ),
    Requirement(id="H16", text="Storage has a second site, with its lag watched."),
    Requirement(id="H17", text="Storage states are told: in sync, rebuilding, degraded."),
    Requirement(
        id="H18",
        text="The virtual switch is watched, and repaired without losing flows.",
        state=PARTLY,
        limits="It is mended from its record where the settings ask for it; flows of the last "
        "minute may be missing. Only Open vSwitch is known, and its data path in user space tried.",
        drills=(
            "vswitch-killed",
            "vswitch-uplink-lost",
            "vswitch-uplink-off",
            "vswitch-flows-lost",
        ),
    ),
    Requirement(
        id="H19",
        text="The VIM's own process on the host is watched and restarted.",
        state=PARTLY,
        limits="Where the settings name it; it was not tried on a real nova-compute yet.",
        drills=("process-killed", "process-frozen"),
    ),
    Requirement(
        id="H20",
        text="A VM is restarted by the agent on its own host, asking nobody, once, after a proof.",
        state=PARTLY,
        limits="A VIM that acts by itself (Nova) is not asked first yet.",
        drills=("vm-killed", "agent-killed-then-vm-killed"),
    ),
    Requirement(id="H21", text="OpenStack Nova and Pacemaker-managed sites work with it."),
)

HEAD = """# Requirements

Written by `make requirements` from what covers each requirement; do not edit. The source is
section 3 of an NFV high-availability requirement document (OPNFV Availability), in our own words.

*works*: on one host, as the stories and drills show. *partly*: what is missing stands beside it.
Drills run by `holdfast drill NAME`; figures are those of [figures.md](figures.md), where there are
any. Recovery within a service level: 1 is 6 s, 2 is 15 s, 3 is 25 s from the fault to the answer.
"""


def render() -> str:
    chapters = (_chapter(one) for one in REQUIREMENTS if one.state is not NOT_YET)
    return "\n".join([HEAD, _summary(), *chapters])


def _summary() -> str:
    lines = ["| id | requirement | state |", "|---|---|---|"]
    for one in REQUIREMENTS:
        state = one.state if one.state is NOT_YET else f"[{one.state}](#{one.id.lower()})"
        lines.append(f"| {one.id} | {one.text} | {state} |")
    return "\n".join(lines) + "\n"


def _chapter(one: Requirement) -> str:
    lines = [f"## {one.id}", "", one.text, ""]
    if one.limits:
        lines += [f"What is missing: {one.limits}", ""]
    alarms = ", ".join(
        f"[{row.id}](operate/alarms/{row.id}.md)" for row in CATALOGUE if one.id in row.covers
    )
    if alarms:
        lines += [f"Alarms: {alarms}.", ""]
    if one.drills:
        figures = _figures()
        told = [f"`{name}`{figures.get(name, '')}" for name in one.drills]
        lines += [f"Drills: {', '.join(told)}.", ""]
    lines += [f"- {said}" for said in _covering(one.id)]
    return "\n".join(lines).rstrip() + "\n"


def _covering(requirement: str) -> Iterator[str]:
    """Stories by their sentence, then tests."""
    for path in sorted(STORIES.rglob("*.txt")):
        if requirement in covered_by(path.read_text()):
            yield f"[{path.stem.replace('_', ' ')}](../{path.relative_to(PROJECT)})"
    for path in sorted((PROJECT / "tests").rglob("test_*.py")):
        if requirement in covered_by(path.read_text()):
            yield f"[{path.relative_to(PROJECT / 'tests')}](../{path.relative_to(PROJECT)})"


def covered_by(text: str) -> set[str]:
    return {name for found in COVERS.findall(text) for name in found.split()}


def _figures() -> dict[str, str]:
    """Of each drill that was measured: from the fault to the VIM."""
    if not FIGURES.exists():
        return {}
    found: dict[str, str] = {}
    for result in _results(json.loads(FIGURES.read_text())):
        spread = result.get("fault_to_vim_ms")
        if spread and result.get("drill") not in found:
            found[result["drill"]] = f" (p50 {spread['p50']} ms, p99 {spread['p99']} ms)"
    return found


def _results(data: Any) -> Iterator[Mapping[str, Any]]:
    for result in data.values() if isinstance(data, dict) else data:
        if isinstance(result, dict):
            yield result


if __name__ == "__main__":
    PAGE.write_text(render())
