"""What a CPU offers and a VM asks for, by what a real libvirt 9.0 with QEMU 7.2 said of one host.

`compared.json` is what its virConnectCompareHypervisorCPU said: 0 is that the host cannot run it.

covers: H9 H15
"""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from holdfast.adapters.drivers.cpu_xml import CannotExpand, host_cpu, identity_of, read_cpu
from holdfast.facts.cpus import CpuNeeds, HostCpu, missing, missing_live

SAID = Path(__file__).parent / "cpus_of_libvirt_9"
CAPABILITIES = (SAID / "capabilities.xml").read_text()
MODELS: dict[str, str] = json.loads((SAID / "models.json").read_text())
COMPARED: list[tuple[str, str, int]] = [
    (kind, cpu, said) for kind, cpu, said in json.loads((SAID / "compared.json").read_text())
]
CANNOT = 0
# QEMU says of this model that it runs there, libvirt's own tables that it does not.
IN_DOUBT = ("qemu", "core2duo")


def expand(cpu: str) -> str:
    model = ET.fromstring(cpu).findtext("model", "")
    if model not in MODELS:
        raise CannotExpand(f"Unknown CPU model {model}")
    features = "".join(f"<feature policy='require' name='{one}'/>" for one in MODELS[model].split())
    return f"<cpu mode='custom'><model>{model}</model>{features}</cpu>"


def offered(kind: str) -> HostCpu:
    text = (SAID / f"{kind}.xml").read_text()
    found = host_cpu(kind, text, identity_of(CAPABILITIES), expand)
    assert found is not None
    return found


def asked(cpu: str, kind: str = "kvm", arch: str = "x86_64") -> CpuNeeds:
    xml = f"<domain type='{kind}'><os><type arch='{arch}'>hvm</type></os>{cpu}</domain>"
    return read_cpu(ET.fromstring(xml))


def custom(model: str, more: str = "", check: str = "partial") -> str:
    return f"<cpu mode='custom' match='exact' check='{check}'><model>{model}</model>{more}</cpu>"


@pytest.mark.parametrize(("kind", "cpu", "said"), COMPARED)
def test_it_says_what_libvirt_says(kind: str, cpu: str, said: int) -> None:
    needs = asked(cpu, kind)
    if (kind, needs.model) != IN_DOUBT:
        assert bool(missing(needs, [offered(kind)])) is (said == CANNOT)


def test_there_are_both_answers_of_each_kind() -> None:
    for kind in ("kvm", "qemu"):
        said = [one == CANNOT for of, _, one in COMPARED if of == kind]
        assert said.count(True) > 3
        assert said.count(False) > 2


def test_the_first_thing_is_named() -> None:
    here = [offered("kvm"), offered("qemu")]
    assert missing(asked(custom("Haswell")), here) == "CPU that can do Haswell"
    assert missing(asked(custom("phenom"), "qemu"), here) == "CPU that can do phenom with fxsr_opt"
    haswell = asked(custom("Haswell-noTSX"), "qemu")
    named = "CPU that can do Haswell-noTSX with invpcid, pcid, tsc-deadline, x2apic"
    assert missing(haswell, here) == named
    assert missing(asked(custom("EPYC", "<vendor>Intel</vendor>"), "qemu"), here) == "CPU of Intel"
    wants = "".join(f"<feature policy='require' name='avx512{one}'/>" for one in "bcdef")
    host_model = f"<cpu mode='host-model'>{wants}</cpu>"
    lacks = "CPU with avx512b, avx512c, avx512d, avx512e and 1 more"
    assert missing(asked(host_model, "qemu"), here) == lacks


def test_a_model_runs_without_what_the_vm_leaves_out() -> None:
    here = [offered("qemu")]
    lacks = offered("qemu").models["Haswell-noTSX"]
    without = "".join(f"<feature policy='disable' name='{one}'/>" for one in lacks)
    assert missing(asked(custom("Haswell-noTSX", without), "qemu"), here) == ""


def test_what_libvirt_does_not_look_at_is_no_obstacle() -> None:
    here = [offered("kvm")]
    assert missing(asked(custom("Haswell", check="none")), here) == ""
    assert missing(asked(""), here) == ""
    assert missing(asked("<cpu><topology sockets='1' cores='2' threads='1'/></cpu>"), here) == ""
    assert missing(None, here) == "", "an agent of an earlier version does not say it"
    assert missing(asked(custom("Haswell")), []) == ""


def test_kvm_and_the_kind_of_processor_are_compared() -> None:
    emulated = [offered("qemu")]
    assert missing(asked(""), emulated) == "hardware virtualization (KVM)"
    assert missing(asked("", "qemu"), [offered("kvm")]) == "", "nothing is known of that kind"
    assert missing(asked("", arch="aarch64"), [offered("kvm")]) == "aarch64 CPU"
    assert missing(asked("", "qemu", "aarch64"), emulated) == "", "QEMU is all of it"
    assert missing(asked("", arch="i686"), [offered("kvm")]) == ""


def test_only_a_vm_that_runs_needs_an_equal_cpu() -> None:
    here = offered("kvm")
    other = msgspec.structs.replace(here, identity="another")
    same = asked("<cpu mode='host-passthrough' check='none' migratable='on'/>")
    assert missing(same, [other]) == ""
    assert missing_live(same, [here], [here]) == ""
    lacks = missing_live(same, [here], [other])
    assert lacks.startswith("CPU equal to that of its host, which a VM with host-passthrough keeps")
    assert missing_live(same, [], [other]) == "", "that of its host is not known"
    host_model = asked("<cpu mode='host-model'/>")
    assert missing_live(host_model, [here], [other]) == ""


@pytest.mark.parametrize("kind", ["kvm", "qemu"])
def test_what_a_host_gave_it_can_take_back(kind: str) -> None:
    """A VM with host-model, as it runs: with the host's own model, less all that the host lacks."""
    own = ET.parse(SAID / f"{kind}.xml").find("cpu/mode[@name='host-model']")
    assert own is not None
    parts = "".join(ET.tostring(one, encoding="unicode") for one in own)
    live = asked(f"<cpu mode='custom' match='exact' check='full'>{parts}</cpu>", kind)
    assert len(live.leaves_out) > 8
    here = [offered(kind)]
    assert missing_live(live, here, here) == ""
    without = msgspec.structs.replace(live, leaves_out=())
    assert missing_live(without, here, here).startswith(f"CPU that can do {live.model} with ")


def test_equal_processors_are_told_from_others() -> None:
    is_equal = CAPABILITIES.replace('microcode version="1', 'microcode version="9')
    assert is_equal != CAPABILITIES
    assert identity_of(is_equal) == identity_of(CAPABILITIES)
    for old, new in (('family="25"', 'family="26"'), ('name="ssse3"', 'name="avx512f"')):
        assert old in CAPABILITIES
        assert identity_of(CAPABILITIES.replace(old, new)) != identity_of(CAPABILITIES)
    assert identity_of("<capabilities/>") == ""


def test_a_host_that_says_nothing_of_its_model_offers_nothing_known() -> None:
    for cpu in ("", "<cpu/>", "<cpu><mode name='host-model' supported='no'/></cpu>"):
        text = f"<domainCapabilities><arch>x86_64</arch>{cpu}</domainCapabilities>"
        assert host_cpu("kvm", text, "", expand) is None
