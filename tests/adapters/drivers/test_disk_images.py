"""Disks made anew from images: once for a generation, never over somebody else's file.

covers: H15
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from holdfast.adapters.drivers import disk_images, places
from holdfast.adapters.drivers.disk_images import NotMade
from holdfast.facts.definitions import Rebuild, RebuiltDisk

VM, OTHER = "vm-1", "vm-2"
MIB = 1 << 20


class Scene:
    def __init__(self, folder: Path) -> None:
        self.image = folder / "base.qcow2"
        self.path = folder / "vms" / "web.qcow2"
        self.path.parent.mkdir()
        qemu_img("create", "-q", "-f", "qcow2", str(self.image), "1M")
        self.disk = RebuiltDisk(
            name="vda",
            path=str(self.path),
            format="qcow2",
            size_bytes=4 * MIB,
            image=str(self.image),
        )

    def make(self, generation: int = 2, vm: str = VM, **changes: Any) -> None:
        disk = structs.replace(self.disk, **changes)
        disk_images.make(vm, Rebuild(generation=generation, disks=(disk,)))

    def obstacle(self, vm: str = VM, **changes: Any) -> str:
        return disk_images.obstacle(vm, structs.replace(self.disk, **changes))

    def files(self) -> list[str]:
        return sorted(one.name for one in self.path.parent.iterdir())

    def write(self, text: bytes) -> None:
        """As a guest would."""
        with self.path.open("r+b") as file:
            file.seek(0, os.SEEK_END)
            file.write(text)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def qemu_img(*argv: str) -> str:
    return subprocess.run(["qemu-img", *argv], check=True, capture_output=True, text=True).stdout


def test_an_overlay_is_made_of_the_size_that_the_disk_had(scene: Scene) -> None:
    assert scene.obstacle() == ""
    scene.make()
    said = json.loads(qemu_img("info", "--output=json", str(scene.path)))
    assert (said["format"], said["virtual-size"]) == ("qcow2", 4 * MIB)
    assert said["backing-filename"] == str(scene.image)
    assert said["backing-filename-format"] == "qcow2"
    assert places.backing(str(scene.path)) == [str(scene.image)]
    assert scene.path.stat().st_mode & 0o777 == 0o600
    assert scene.files() == ["web.qcow2", "web.qcow2.holdfast"]


def test_without_a_size_it_is_as_large_as_its_image(scene: Scene) -> None:
    scene.make(size_bytes=0)
    said = json.loads(qemu_img("info", "--output=json", str(scene.path)))
    assert said["virtual-size"] == MIB


def test_a_raw_disk_is_a_copy_of_its_whole_size(scene: Scene) -> None:
    raw = scene.image.with_name("base.raw")
    raw.write_bytes(b"boot" + bytes(MIB - 4))
    scene.make(format="raw", image=str(raw))
    assert scene.path.stat().st_size == 4 * MIB
    assert scene.path.read_bytes()[:4] == b"boot"


def test_uefi_variables_are_a_copy_of_their_template(scene: Scene) -> None:
    template = scene.image.with_name("VARS.fd")
    template.write_bytes(b"variables")
    scene.make(format="", image=str(template), size_bytes=0)
    assert scene.path.read_bytes() == b"variables"


def test_what_was_made_for_this_generation_is_left_as_it_is(scene: Scene) -> None:
    scene.make()
    scene.write(b"what a guest wrote")
    scene.make()
    assert scene.path.read_bytes().endswith(b"what a guest wrote")


def test_what_was_made_for_an_earlier_one_is_put_aside(scene: Scene) -> None:
    scene.make()
    scene.write(b"what a guest wrote")
    scene.make(generation=5)
    assert not scene.path.read_bytes().endswith(b"what a guest wrote")
    aside = scene.path.with_name("web.qcow2.generation-2")
    assert aside.read_bytes().endswith(b"what a guest wrote"), "nobody deletes it"


def test_a_file_of_somebody_else_is_never_touched(scene: Scene) -> None:
    scene.path.write_bytes(b"somebody's")
    assert "was not made for it: look whether anybody needs it" in scene.obstacle()
    with pytest.raises(NotMade, match="move it away"):
        scene.make()
    assert scene.path.read_bytes() == b"somebody's"
    assert scene.files() == ["web.qcow2"]


def test_a_link_to_nowhere_is_somebody_elses_too(scene: Scene) -> None:
    scene.path.symlink_to("/nowhere/at/all")
    with pytest.raises(NotMade, match="move it away"):
        scene.make()


def test_a_disk_of_another_vm_is_never_touched(scene: Scene) -> None:
    scene.make(vm=OTHER)
    assert "was not made for it" in scene.obstacle()
    with pytest.raises(NotMade, match="was not made for it"):
        scene.make()


def test_a_file_that_took_the_place_of_ours_is_somebody_elses(scene: Scene) -> None:
    scene.make()
    new = scene.path.with_name("restored")
    new.write_bytes(b"a restored backup")
    new.rename(scene.path)
    for generation in (2, 3):
        with pytest.raises(NotMade, match="move it away"):
            scene.make(generation)
    assert scene.path.read_bytes() == b"a restored backup"


def test_what_was_left_half_made_is_made_again(scene: Scene) -> None:
    scene.path.with_name("web.qcow2.holdfast-disk").write_bytes(b"half")
    scene.path.with_name("web.qcow2.holdfast").write_bytes(b"{")
    scene.make()
    assert places.backing(str(scene.path)) == [str(scene.image)]
    assert scene.files() == ["web.qcow2", "web.qcow2.holdfast"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"image": "/images/gone.qcow2"}, "its image /images/gone.qcow2 is missing"),
        ({"image": ""}, "its image  is missing"),
        ({"path": "/nowhere/web.qcow2"}, "there is no folder /nowhere on this host: make it"),
        ({"path": "web.qcow2"}, "is no whole path"),
        ({"size_bytes": 1 << 60}, "make room there"),
        ({"size_bytes": 4_096}, "is larger"),
    ],
)
def test_what_cannot_be_made_is_said_before_and_leaves_nothing(
    scene: Scene, changes: dict[str, Any], why: str
) -> None:
    assert why in scene.obstacle(**changes)
    with pytest.raises(NotMade, match=r"vda|image|folder|path|room|larger"):
        scene.make(**changes)
    assert scene.files() == []


def test_what_qemu_img_refuses_is_said_in_its_words(scene: Scene) -> None:
    with pytest.raises(NotMade, match=r"qemu-img create: .*Unknown file format 'odd'"):
        scene.make(format="odd")


def test_a_header_in_a_raw_disk_says_nothing(scene: Scene) -> None:
    scene.path.write_bytes(scene.image.read_bytes())
    raw, qcow2 = (places.size(str(scene.path), is_qcow2=it) for it in (False, True))
    assert (raw, qcow2) == (scene.image.stat().st_size, MIB)
    scene.path.write_bytes(b"short")
    with pytest.raises(ValueError, match="no qcow2 image"):
        places.size(str(scene.path), is_qcow2=True)
    with pytest.raises(ValueError, match="is no file"):
        places.size(str(scene.path.parent), is_qcow2=False)
