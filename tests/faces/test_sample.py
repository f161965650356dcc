"""QEMU can read what the sample VM is made of, whoever made the folder of it."""

import stat
from pathlib import Path

from holdfast.faces.cli.exits import Failure
from holdfast.faces.cli.sample import explained, let_qemu_read


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def image(cache: Path) -> Path:
    kernel = cache / "guest-1" / "kernel"
    kernel.parent.mkdir(parents=True)
    kernel.touch(0o600)
    return kernel


def open_above(folder: Path) -> None:
    """Tests have folders of their own, which are closed to others."""
    for one in (folder, *folder.parents):
        if one.owner() == Path.home().owner() and mode(one) & 0o111 != 0o111:
            one.chmod(mode(one) | 0o111)


def test_a_cache_that_was_kept_to_its_owner_is_opened_to_look_into(tmp_path: Path) -> None:
    open_above(tmp_path)
    kernel = image(tmp_path / "cache")
    (tmp_path / "cache").chmod(0o700)
    assert let_qemu_read(tmp_path / "cache", [kernel]) == []
    assert mode(tmp_path / "cache") == 0o711, "to look into it, not to list it"
    assert mode(kernel.parent) & 0o111 == 0o111
    assert mode(kernel) == 0o644


def test_a_folder_above_it_is_not_ours_to_open(tmp_path: Path) -> None:
    open_above(tmp_path)
    above = tmp_path / "above"
    kernel = image(above / "cache")
    above.chmod(0o700)
    closed = let_qemu_read(above / "cache", [kernel, kernel])
    assert (closed, mode(above)) == ([above], 0o700)
    failed = Failure("virsh start: cannot open the kernel", "look at its log", 3)
    said = explained(failed, closed)
    assert (said.message, said.code) == ("virsh start: cannot open the kernel", 3)
    assert f"chmod a+x {above}, or set another cache_dir" in said.hint
    assert explained(failed, []) is failed, "then it is something else"
