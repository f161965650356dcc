"""What people say, and are told, of disks on one host alone, and of groups made from a template.

covers: H9 H15
"""

from pathlib import Path

import pytest
from msgspec import structs, to_builtins

from holdfast.faces.pages.groups import group_page
from holdfast.faces.pages.vms import vm_page, vms_page
from holdfast.facts.definitions import DiskKind, VmDisk
from tests.faces import examples as known
from tests.faces.conftest import Run
from tests.faces.programs_that_answer import answering
from tests.faces.test_pages import rendered

VMS = to_builtins([known.WEB_1])
REBUILT = "rebuilt: vda from /images/base.qcow2; what is on it now is lost with its host"
TEMPLATE = {
    "count": 3,
    "in_service": 2,
    "why": "gateways-3: no host is left to start it on",
    "made": [
        {"vm": "u1", "name": "gateways-1", "step": "runs", "reason": ""},
        {"vm": "u3", "name": "gateways-3", "step": "taken back", "reason": "no image"},
    ],
}


@pytest.mark.slow
def test_what_becomes_of_local_disks_is_said_when_a_vm_is_protected(
    run: Run, run_dir: Path
) -> None:
    told = {"starts_elsewhere": True, "rebuilt": REBUILT}
    with answering(run_dir, "controller", {"vms": VMS, "protect": told}) as fake:
        said = run(
            "vm", "protect", "web-1", "--local-disk", "rebuild", "--image", "vda=/images/base.qcow2"
        )
        wrong = run("vm", "protect", "web-1", "--image", "base.qcow2")
    asked = [one for one in fake.asked if one.name == "protect"]
    assert [one.args for one in asked] == [
        {
            "vm": known.WEB,
            "local_disk": "rebuild",
            "images": {"vda": "/images/base.qcow2"},
        }
    ]
    assert said.out.endswith(f"its local disks would be {REBUILT}\n")
    assert (wrong.code, "use --image vda=/images/base.qcow2" in wrong.err) == (2, True)


@pytest.mark.slow
def test_a_template_goes_with_its_count_and_images(run: Run, run_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "web.xml"
    file.write_text("<domain/>")
    answers = {"group-set": {"group": {}, "template": TEMPLATE}}
    with answering(run_dir, "controller", answers) as fake:
        said = run(
            *("group", "set", "gateways", "--template", str(file), "--count", "3"),
            *("--image", "vda=/images/base.qcow2"),
        )
        run("group", "set", "gateways", "--count", "2", "--remove", "gateways-3")
    assert [one.args for one in fake.asked] == [
        {
            "name": "gateways",
            "template": "<domain/>",
            "count": 3,
            "images": {"vda": "/images/base.qcow2"},
        },
        {"name": "gateways", "count": 2, "remove": ("gateways-3",)},
    ]
    assert "3 VMs are promised, 2 serve" in said.out
    assert "holdfast group show gateways" in said.out


def test_a_vm_shows_where_each_disk_is_and_what_it_would_lose() -> None:
    disks = (
        VmDisk(name="vda", kind=DiskKind.REMAKEABLE, path="/vms/web.qcow2"),
        VmDisk(name="sda", kind=DiskKind.READ_ONLY, path="/iso/a.iso"),
    )
    vm = structs.replace(known.WEB_1, starts_elsewhere=True, rebuilt=REBUILT, disks=disks)
    page = " ".join(rendered(vm_page(vm, (), 0)).split())
    assert f"start elsewhere yes, {REBUILT}" in page
    assert "disk vda on its host alone; it could be made anew from an image: /vms/web" in page
    assert "disk sda only read: /iso/a.iso" in page
    assert " rebuilt " in rendered(vms_page([vm]))


def test_a_group_shows_how_many_it_lacks_and_why() -> None:
    page = rendered(group_page(known.GROUPS[1], (known.WEB_1,), TEMPLATE))
    assert "2 of 3 promised VMs are in service, made from its template" in page
    assert "now: gateways-3: no host is left to start it on" in page
    assert "gateways-3 is taken back: no image" in page
    assert "gateways-1 is" not in page
