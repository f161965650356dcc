"""QEMU can read what the sample VM is made of, whoever made the folder of it."""

import stat
from pathlib import Path

import pytest

from holdfast.faces.cli.exits import Failure
from holdfast.faces.cli.sample import let_qemu_read


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
    let_qemu_read(tmp_path / "cache", [kernel])
    assert mode(tmp_path / "cache") == 0o711, "to look into it, not to list it"
    assert mode(kernel.parent) & 0o111 == 0o111
    assert mode(kernel) == 0o644


def test_a_folder_above_it_is_not_ours_to_open(tmp_path: Path) -> None:
    open_above(tmp_path)
    above = tmp_path / "above"
    kernel = image(above / "cache")
    above.chmod(0o700)
    with pytest.raises(Failure, match=f"cannot look into {above}") as said:
        let_qemu_read(above / "cache", [kernel])
    assert f"chmod a+x {above}" in said.value.hint
    assert mode(above) == 0o700
