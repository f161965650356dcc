"""What protect took over in VMs is given back without the agent, when Holdfast is taken away."""

from pathlib import Path

import msgspec
from msgspec import Struct

from holdfast.faces.cli.host_libvirt import virsh
from holdfast.facts.settings import Settings
from holdfast.ports.hypervisor import TakenOver


class Memo(Struct, frozen=True):
    """The part of the agent's memo (agent/health.py) that is needed here."""

    taken: dict[str, TakenOver] = {}


def read_taken(state_dir: Path) -> list[TakenOver]:
    try:
        memo = msgspec.json.decode((state_dir / "memo.json").read_bytes(), type=Memo)
    except (OSError, msgspec.MsgspecError):
        return []
    return list(memo.taken.values())


def give_back_all(settings: Settings) -> list[str]:
    """The names of the VMs that are as they were again. Raises Failure."""
    taken = read_taken(Path(settings.state_dir))
    if not taken:
        return []
    uri = settings.libvirt_uri
    known = set(virsh(uri, "list", "--all", "--uuid").split())
    return [_give_back(uri, one) for one in taken if one.vm in known]


def _give_back(uri: str, taken: TakenOver) -> str:
    """Autostart was only recorded (decision 0004): its owner's word stands."""
    action = taken.on_crash or "destroy"
    virsh(uri, "set-lifecycle-action", taken.vm, "crash", action, "--config")
    if virsh(uri, "domstate", taken.vm).strip() != "shut off":
        virsh(uri, "set-lifecycle-action", taken.vm, "crash", action, "--live")
    return virsh(uri, "domname", taken.vm).strip()
