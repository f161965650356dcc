"""libvirt's words about CPUs: what a VM's definition asks for, and what a host's libvirt offers.

Pure: a model is spelled out into its features by `Expand`, which libvirt does from its own tables.
"""

import hashlib
import xml.etree.ElementTree as ET
from collections.abc import Callable
from xml.etree.ElementTree import Element

from holdfast.facts.cpus import PASSTHROUGH, CpuNeeds, HostCpu

Expand = Callable[[str], str]  # <cpu> to <cpu> with all features of its model. Raises CannotExpand.
# A model that lacks more is not told of, but for the host's own: a VM that took that goes without
# all that the host lacks of it, however much that is.
MOST_BLOCKERS = 16
DEMANDED, DISABLED = ("require", "force"), ("disable", "forbid")


class CannotExpand(ValueError):
    """libvirt does not know the model, or cannot be asked."""


def read_cpu(root: Element) -> CpuNeeds:
    """Of a VM's definition, or of one that runs: then with what it was given."""
    kind, system = root.get("type", ""), root.find("os/type")
    arch = system.get("arch", "") if system is not None else ""
    cpu = root.find("cpu")
    if cpu is None:
        return CpuNeeds(kind=kind, arch=arch)
    model = (cpu.findtext("model") or "").strip()
    mode = cpu.get("mode", "custom" if model else "")
    if mode in PASSTHROUGH or not mode:  # Its features are what its host has.
        return CpuNeeds(kind=kind, arch=arch, mode=mode)
    by_policy = _features(cpu)
    return CpuNeeds(
        kind=kind,
        arch=arch,
        mode=mode,
        model=model if mode == "custom" else "",
        vendor=(cpu.findtext("vendor") or "").strip() if mode == "custom" else "",
        requires=_with(by_policy, ("require",)),
        forbids=_with(by_policy, ("forbid",)),
        leaves_out=_with(by_policy, DISABLED),
        is_checked=cpu.get("check") != "none",
    )


def host_cpu(kind: str, domain: str, identity: str, expand: Expand) -> HostCpu | None:
    """From the domain capabilities of this type of VM; None where libvirt says nothing of them.
    Raises CannotExpand."""
    root = ET.fromstring(domain)
    arch, own = root.findtext("arch", ""), root.find("cpu/mode[@name='host-model']")
    if own is None or own.get("supported") != "yes" or own.find("model") is None:
        return None
    by_policy = _features(own)
    model = _expanded(own.findtext("model", ""), arch, expand)
    features = (model | set(_with(by_policy, DEMANDED))) - set(_with(by_policy, DISABLED))
    return HostCpu(
        kind=kind,
        arch=arch,
        vendor=own.findtext("vendor", ""),
        identity=_hash([identity, *sorted(features)]),
        features=tuple(sorted(features)),
        models=_models(root, arch, features, expand),
    )


def identity_of(capabilities: str) -> str:
    """Equal on hosts of equal processors, whatever their microcode and clock."""
    cpu = ET.fromstring(capabilities).find("host/cpu")
    if cpu is None:
        return ""
    signature = cpu.find("signature")
    family = (
        [signature.get(key, "") for key in ("family", "model")] if signature is not None else []
    )
    names = sorted(one.get("name", "") for one in cpu.findall("feature"))
    return _hash([cpu.findtext("vendor", ""), cpu.findtext("model", ""), *family, *names])


def _models(
    root: Element, arch: str, features: set[str], expand: Expand
) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    own = root.findtext("cpu/mode[@name='host-model']/model", "")
    for model in root.findall("cpu/mode[@name='custom']/model"):
        name = (model.text or "").strip()
        if model.get("usable") != "no":  # "unknown", where QEMU cannot say.
            found[name] = ()
            continue
        blockers = _blockers(name, arch, features, expand)
        if 0 < len(blockers) <= MOST_BLOCKERS or (blockers and name == own):
            found[name] = blockers
    return found


def _blockers(name: str, arch: str, features: set[str], expand: Expand) -> tuple[str, ...]:
    """None: libvirt's tables do not say why QEMU cannot do it."""
    try:
        return tuple(sorted(_expanded(name, arch, expand) - features))
    except CannotExpand:
        return ()


def _expanded(model: str, arch: str, expand: Expand) -> set[str]:
    cpu = Element("cpu")
    ET.SubElement(cpu, "arch").text = arch
    ET.SubElement(cpu, "model").text = model
    whole = ET.fromstring(expand(ET.tostring(cpu, encoding="unicode")))
    return set(_with(_features(whole), DEMANDED))


def _features(cpu: Element) -> dict[str, str]:
    """Name to policy."""
    return {one.get("name", ""): one.get("policy", "require") for one in cpu.findall("feature")}


def _with(by_policy: dict[str, str], policies: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(name for name, policy in by_policy.items() if policy in policies))


def _hash(words: list[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]
