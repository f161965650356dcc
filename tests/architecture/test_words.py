"""No file names a package registry's host or the folders of the machine it was written on."""

import re
from pathlib import Path

import pytest

from tests.architecture.sources import PROJECT, files

# Each pattern is written so that it does not match itself.
NOT_HERE = {
    r"py[p]i\.org|python[h]osted\.org|npm[j]s\.(org|com)|[c]rates\.io": "a registry's host",
    r"(deb|security)\.[d]ebian\.org|archive\.[u]buntu\.com|ports\.[u]buntu\.com": "a mirror",
    r"(?<![\w./-])/[w]ork/|/root/\.[p]yenv|/[h]ome/\w+/": "a folder of one machine",
}


def words_out_of_place(root: Path) -> list[str]:
    found = []
    for path in files(root):
        if (
            path == root / ".git"
        ):  # Of a second work tree, it is a file that says where the first is.
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for pattern, what in NOT_HERE.items():
            for match in re.finditer(pattern, text):
                line = text.count("\n", 0, match.start()) + 1
                found.append(f"{path.relative_to(root)}:{line}: {match[0]!r} is {what}")
    return found


def test_no_file_names_a_registry_or_a_machine() -> None:
    assert words_out_of_place(PROJECT) == []


@pytest.mark.parametrize(
    "parts",
    [
        ("https://py", "pi.org/simple"),
        ("files.python", "hosted.org"),
        ("http://deb.", "debian.org/debian"),
        ("http://archive.", "ubuntu.com/ubuntu"),
        ("cd /", "work/main"),
        ("open('/", "home/anna/x')"),
    ],
)
@pytest.mark.parametrize("name", ["docs/START.md", "requirements.lock", ".ci/run", "Makefile"])
def test_a_word_out_of_place_is_named(tmp_path: Path, name: str, parts: tuple[str, ...]) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("one line\n" + "".join(parts))
    [found] = words_out_of_place(tmp_path)
    assert found.startswith(f"{name}:2: ")
