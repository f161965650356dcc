"""What a VM asks of a CPU and what a host's CPU offers, in libvirt's names; and what is missing."""

from collections.abc import Iterable

from msgspec import Struct

PASSTHROUGH = ("host-passthrough", "maximum")
SAME_FAMILY = {"i686": "x86_64", "armv7l": "aarch64"}  # Run by hardware of the other kind, too.
MOST_NAMED = 4


class CpuNeeds(Struct, frozen=True, kw_only=True):
    """`kind` is libvirt's type of the VM: kvm, or qemu for one that is emulated.

    `mode` is empty where the definition leaves the CPU to QEMU. `requires` are features that must
    be there, `forbids` those that must not, `leaves_out` those of the model that it goes without.
    """

    kind: str
    arch: str = ""
    mode: str = ""
    model: str = ""
    vendor: str = ""
    requires: tuple[str, ...] = ()
    forbids: tuple[str, ...] = ()
    leaves_out: tuple[str, ...] = ()
    is_checked: bool = True  # libvirt starts it without looking where its check says none.


class HostCpu(Struct, frozen=True, kw_only=True):
    """What one type of VM gets on a host. `models` are those that run there, each with the features
    that a VM must then go without; `identity` is equal on hosts whose CPUs are."""

    kind: str
    arch: str
    vendor: str = ""
    identity: str = ""
    features: tuple[str, ...] = ()
    models: dict[str, tuple[str, ...]] = {}


def missing(needs: CpuNeeds | None, offered: Iterable[HostCpu]) -> str:
    """The first thing that a host lacks for a start from nothing, as a noun; or empty. What is
    not known is not compared."""
    known = tuple(offered)
    if needs is None or not known:
        return ""
    host = _of_kind(needs, known)
    if host is None:
        return "hardware virtualization (KVM)" if needs.kind == "kvm" else ""
    native = SAME_FAMILY.get(needs.arch, needs.arch)
    if native and native != host.arch:  # An emulated one gets all of it from QEMU.
        return f"{needs.arch} CPU" if needs.kind == "kvm" else ""
    return _lacking(needs, host) if needs.is_checked else ""


def missing_live(
    needs: CpuNeeds | None, source: Iterable[HostCpu], offered: Iterable[HostCpu]
) -> str:
    """As `missing`, of a VM that keeps its CPU while it moves; `needs` as it runs now."""
    known = tuple(offered)
    if needs is None or not known:
        return ""
    if needs.mode not in PASSTHROUGH:
        return missing(needs, known)
    here, there = _of_kind(needs, tuple(source)), _of_kind(needs, known)
    if here is None or there is None or here.identity == there.identity:
        return missing(needs, known)
    return f"CPU equal to that of its host, which a VM with {needs.mode} keeps while it moves"


def _of_kind(needs: CpuNeeds, known: tuple[HostCpu, ...]) -> HostCpu | None:
    return next((one for one in known if one.kind == needs.kind), None)


def _lacking(needs: CpuNeeds, host: HostCpu) -> str:
    if needs.vendor and host.vendor and needs.vendor != host.vendor:
        return f"CPU of {needs.vendor}"
    if needs.model:
        blockers = host.models.get(needs.model)
        if blockers is None:
            return f"CPU that can do {needs.model}"
        blocked = [name for name in blockers if name not in needs.leaves_out]
        if blocked:
            return f"CPU that can do {needs.model} with {_listed(blocked)}"
    lacking = [name for name in needs.requires if name not in host.features]
    if lacking:
        return f"CPU with {_listed(lacking)}"
    forbidden = [name for name in needs.forbids if name in host.features]
    return f"CPU without {_listed(forbidden)}" if forbidden else ""


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
