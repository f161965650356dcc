"""A VM whose disk is on its host alone, for real: the host loses power, and another makes it anew.

covers: H9 H15
"""

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.lab.drills.acting import ActingSite, acting_site, wait_for
from holdfast.lab.drills.breakages import LOST
from holdfast.lab.drills.site_stage import SiteStage
from holdfast.lab.guest_xml import GuestDisk
from holdfast.lab.guests import Guest, plan_guest
from holdfast.lab.hosts import Host, Lab
from holdfast.lab.site import SHARED_FOLDER

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(420)]
NAME = f"rebuild-{os.getpid()}"
FOLDER = Path("/var/lib/libvirt/images")  # Each host has its own.
SIZE_BYTES = 64 << 20
LIMIT_S = 90.0


@pytest.fixture(scope="module")
def site() -> Iterator[SiteStage]:
    lab = Lab.up(3, name=NAME)
    try:
        with SiteStage(lab, print, controllers=1) as stage:
            yield stage
    finally:
        lab.down()


def shared_image(site: SiteStage, name: str) -> Path:
    """Every host has it, and a folder of its own for disks."""
    shared = Path(SHARED_FOLDER.format(lab=site.lab.name))
    shared.mkdir(parents=True, exist_ok=True)
    shared.chmod(0o711)
    image = shared / name
    size = str(SIZE_BYTES)
    site.plain_host.run(["qemu-img", "create", "-q", "-f", "qcow2", str(image), size])
    image.chmod(0o644)
    for one in site.hosts:
        one.run(["mkdir", "-p", str(FOLDER)])
    return image


def overlay(host: Host, path: Path, image: Path) -> None:
    below = ["-b", str(image), "-F", "qcow2"]
    host.run(["qemu-img", "create", "-q", "-f", "qcow2", *below, str(path), str(SIZE_BYTES)])


def row(acting: ActingSite, guest: Guest) -> dict[str, object]:
    told = json.loads(acting.command("vm", "list", "--json"))["vms"]
    return next((one for one in told if one["vm"] == guest.plan.uuid), {})


def test_a_local_disk_is_made_anew_on_the_host_that_starts_the_vm(site: SiteStage) -> None:
    host, name = site.plain_host, f"rebuilt-{secrets.token_hex(3)}"
    image, path = shared_image(site, "base.qcow2"), FOLDER / f"{name}.qcow2"
    overlay(host, path, image)
    disk = GuestDisk(path=path, format="qcow2")
    plan = plan_guest(host.lab, name, memory_mib=128, disk=disk, on_crash="destroy")
    with acting_site(site, [host]) as acting:
        guest = Guest.define(host, plan)
        guest.start_and_answer()
        kept = acting.command("vm", "protect", name, "--answers", "agent")
        assert "it is kept in place, and waits for its host" in kept
        said = acting.command("vm", "protect", name, "--local-disk", "rebuild")
        assert f"rebuilt: vda from {image}" in said
        assert wait_for(lambda: row(acting, guest).get("starts_elsewhere") is True, LIMIT_S)
        guest.execute(["sh", "-c", "echo precious > /dev/vda; sync"])
        LOST.inject(site, host)
        stale = host.disks / str(path).lstrip("/")
        before = stale.stat()
        assert wait_for(lambda: bool(acting.where(guest)), LIMIT_S)
        [new] = acting.where(guest)
        there = Guest(new, plan)
        there.wait_answer()
        found = json.loads(new.run(["qemu-img", "info", "-U", "--output=json", str(path)]).stdout)
        assert found["backing-filename"] == str(image)
        assert (found["format"], found["virtual-size"]) == ("qcow2", SIZE_BYTES)
        assert "precious" not in there.execute(["head", "-c", "8", "/dev/vda"])

        host.power_on()
        site.wait_well()
        after = stale.stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        assert acting.where(guest) == [new], "it runs once"
        left = f"has the old disk {path} of {name}"  # Said when its fence is closed.
        assert wait_for(lambda: left in acting.command("events", "--json"), LIMIT_S)
        acting.command("vm", "unprotect", name)
        there.end()


def test_a_group_is_made_from_its_template_and_keeps_its_number(site: SiteStage) -> None:
    host, group = site.plain_host, f"front{secrets.token_hex(2)}"
    image, path = shared_image(site, f"{group}.qcow2"), FOLDER / "template.qcow2"
    plan = plan_guest(
        host.lab,
        "template",
        memory_mib=128,
        disk=GuestDisk(path=path, format="qcow2"),
        on_crash="destroy",
    )
    template = site.leader().path("/var/lib/holdfast/template.xml")
    overlay(host, path, image)
    guest = Guest.define(host, plan)
    template.write_text(guest.virsh("dumpxml", "--inactive"))
    guest.end()
    with acting_site(site, [host]) as acting:
        acting.command(
            *("group", "set", group, "--template", "/var/lib/holdfast/template.xml"),
            *("--count", "2", "--image", f"vda={image}", "--spread", "host"),
        )

        def served() -> int:
            told = json.loads(acting.command("group", "show", group, "--json"))
            return int(told["template"]["in_service"])

        assert wait_for(lambda: served() == 2, LIMIT_S)
        names = sorted(running(site, group))
        assert names == [f"{group}-1", f"{group}-2"], "each of them once"
        gone = [f"--remove={name}" for name in names]
        acting.command("group", "set", group, "--count", "0", *gone)
        assert wait_for(lambda: not running(site, group), LIMIT_S)
        acting.command("group", "forget", group)


def running(site: SiteStage, group: str) -> list[str]:
    found = [one.run(["virsh", "list", "--name"]).stdout.split() for one in site.hosts]
    return [name for names in found for name in names if name.startswith(group)]
