"""Where a file is: on this very machine, so that the kernel's own words are read.

covers: H15
"""

import os
import socket
import struct
import subprocess
from pathlib import Path

import pytest

from holdfast.adapters.drivers import places
from holdfast.adapters.drivers.vm_disks import Place


def test_a_file_of_this_machine_is_local_unless_it_is_named_as_shared(tmp_path: Path) -> None:
    disk = tmp_path / "web.img"
    disk.touch()
    assert places.place(str(disk), []) is Place.LOCAL
    assert places.place(str(tmp_path), []) is Place.LOCAL
    assert places.place(str(disk), [str(tmp_path)]) is Place.SHARED
    assert places.place(str(disk), [f"{tmp_path}/"]) is Place.SHARED
    assert places.place(str(disk), [str(tmp_path)[:-1]]) is Place.LOCAL, "a name is no folder"


def test_what_is_not_there_is_missing_wherever_it_should_be(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone" / "web.img")
    assert places.place(gone, []) is Place.MISSING
    assert places.place(gone, [str(tmp_path)]) is Place.MISSING


def test_a_link_is_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    local, link = tmp_path / "web.img", tmp_path / "link.img"
    local.touch()
    link.symlink_to(tmp_path / "shared" / "web.img")
    (tmp_path / "shared" / "web.img").touch()
    assert places.place(str(link), [str(tmp_path / "shared")]) is Place.SHARED
    assert places.place(str(local), [str(tmp_path / "shared")]) is Place.LOCAL


def test_a_device_and_a_socket_are_of_this_host_unless_they_are_named(tmp_path: Path) -> None:
    assert places.place("/dev/null", []) is Place.LOCAL
    assert places.place("/dev/null", ["/dev/null"]) is Place.SHARED
    path = tmp_path / "nbd.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        assert places.place(str(path), []) is Place.LOCAL
        assert places.place(str(path), [str(tmp_path)]) is Place.SHARED


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("40 1 0:50 / {} rw - nfs4 nas1:/vms rw", Place.SHARED),
        ("40 1 0:50 / {} rw shared:7 master:2 - ceph 10.0.0.5:/ rw", Place.SHARED),
        ("40 1 0:50 / {} rw - fuse.glusterfs gl:/vms rw", Place.SHARED),
        ("40 1 0:50 / {} rw - nfs4 localhost:/vms rw", Place.LOCAL),
        ("40 1 0:50 / {} rw - nfs 127.0.0.1:/vms rw", Place.LOCAL),
        ("40 1 0:50 / {} rw - cifs //localhost/vms rw", Place.LOCAL),
        ("40 1 0:50 / {} rw - ext4 /dev/sda1 rw", Place.LOCAL),
        ("40 1 0:50 / {} rw - fuse.sshfs nas1:/vms rw", Place.LOCAL),
    ],
)
def test_a_mount_says_whose_its_files_are(tmp_path: Path, line: str, found: Place) -> None:
    folder = tmp_path / "vm disks"
    folder.mkdir()
    (folder / "web.img").touch()
    table = tmp_path / "mountinfo"
    point = str(folder).replace(" ", "\\040")
    table.write_text(f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n{line.format(point)}\n")
    assert places.place(str(folder / "web.img"), [], table) is found


def test_what_is_mounted_last_and_deepest_counts(tmp_path: Path) -> None:
    inner = tmp_path / "nas" / "local"
    inner.mkdir(parents=True)
    table = tmp_path / "mountinfo"
    table.write_text(
        f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"2 1 0:50 / {tmp_path}/nas rw - nfs4 nas1:/a rw\n"
        f"3 2 8:2 / {inner} rw - ext4 /dev/sdb1 rw\n"
    )
    assert places.place(f"{tmp_path}/nas", [], table) is Place.SHARED
    assert places.place(str(inner), [], table) is Place.LOCAL
    table.write_text(f"{table.read_text()}4 3 0:51 / {inner} rw - nfs4 nas2:/b rw\n")
    assert places.place(str(inner), [], table) is Place.SHARED


def qcow2(path: Path, below: str = "") -> None:
    name = below.encode()
    header = struct.pack(">4sIQI", b"QFI\xfb", 3, 512 if below else 0, len(name))
    path.write_bytes(header.ljust(512, b"\0") + name)


def test_the_images_below_an_image_are_named_in_its_header(tmp_path: Path) -> None:
    top, middle, raw = tmp_path / "top", tmp_path / "middle", tmp_path / "raw"
    qcow2(top, "middle")
    qcow2(middle, str(raw))
    raw.write_bytes(bytes(512))
    assert places.backing(str(top)) == [str(middle), str(raw)]
    assert places.backing(str(raw)) == []
    raw.unlink()
    assert places.backing(str(top)) == [str(middle), str(raw)], "that it is missing is said of it"
    raw.write_bytes(b"QFI")
    assert places.backing(str(raw)) == []


def test_images_that_rest_on_themselves_are_refused(tmp_path: Path) -> None:
    qcow2(tmp_path / "a", "b")
    qcow2(tmp_path / "b", "a")
    with pytest.raises(ValueError, match="more than 64 images"):
        places.backing(str(tmp_path / "a"))


def test_qemu_writes_the_header_that_we_read(tmp_path: Path) -> None:
    argv = ["qemu-img", "create", "-q", "-f", "qcow2"]
    base, top = tmp_path / "base.qcow2", tmp_path / "top.qcow2"
    try:
        subprocess.run([*argv, str(base), "1M"], check=True)
    except FileNotFoundError:
        pytest.skip("there is no qemu-img here")
    subprocess.run([*argv, "-F", "qcow2", "-b", str(base), str(top)], check=True)
    assert places.backing(str(top)) == [str(base)]
    assert places.backing(str(base)) == []


def test_devices_of_the_network_are_known_by_name() -> None:
    assert places.has_device("lo")
    assert not places.has_device("nothing-of-this-name")
    assert not places.has_device("")
    assert not places.has_device("../net/lo")
    assert "lo" not in places.bridges()
    assert set(places.bridges()) <= set(os.listdir("/sys/class/net"))
