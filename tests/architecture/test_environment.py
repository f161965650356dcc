"""What runs is what is locked: exact versions with hashes, from .venv, whatever the system has."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.sources import PROJECT

LOCKS = ("requirements.lock", "requirements-dev.lock", "scripts/uv.lock")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def entries(lock: str) -> list[tuple[str, list[str]]]:
    """Each requirement of a lock, with its hashes. Raises ValueError for anything else in it."""
    found = []
    for entry in lock.replace("\\\n", " ").splitlines():
        requirement, *hashes = re.split(r"\s+(?=--hash=)", entry.strip())
        if not re.match(r"[\w.-]+==\S+( ; .+)?$", requirement):
            raise ValueError(f"not a version: {entry!r}")
        if not hashes or not all(HASH.fullmatch(text) for text in hashes):
            raise ValueError(f"not locked by hashes: {requirement}")
        found.append((requirement, hashes))
    return found


def pins(lock: Path) -> dict[str, str]:
    """Version by name, of what this machine installs from a lock."""
    requirements = [Requirement(text) for text, _ in entries(lock.read_text())]
    return {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in requirements
        if one.marker is None or one.marker.evaluate()
    }


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_versions_and_hashes_and_nothing_else(lock: str) -> None:
    assert entries((PROJECT / lock).read_text())


@pytest.mark.parametrize(
    "line",
    [
        "rich>=13",
        "rich==15.0.0",
        "rich @ https://example.org/rich.whl",
        "--index-url https://example.org/simple",
        "rich==15.0.0 --hash=md5:00",
    ],
)
def test_a_line_that_locks_nothing_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not "):
        entries(line + "\n")


def test_the_locks_answer_pyproject() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    wanted = {
        "requirements.lock": project["project"]["dependencies"] + groups["build"],
        "requirements-dev.lock": groups["dev"],
    }
    for lock, texts in wanted.items():
        locked = pins(PROJECT / lock)
        for requirement in map(Requirement, texts):
            version = locked.get(canonicalize_name(requirement.name), "no version")
            assert requirement.specifier.contains(version), (
                f"{requirement} is not locked: make lock"
            )


def test_both_locks_agree() -> None:
    runtime, everything = pins(PROJECT / LOCKS[0]), pins(PROJECT / LOCKS[1])
    assert runtime.items() <= everything.items()


def test_every_locked_package_comes_from_this_environment() -> None:
    for name, version in pins(PROJECT / "requirements-dev.lock").items():
        distribution = importlib.metadata.distribution(name)
        assert distribution.version == version, name
        assert Path(str(distribution.locate_file(""))).is_relative_to(sys.prefix), name


def test_what_is_made_here_keeps_what_it_compiled() -> None:
    """Or each worker of `make check` compiles every test again, and each program itself."""
    shown = subprocess.run(
        [
            "make",
            "--no-print-directory",
            "--eval=show: ; @printenv PYTHONDONTWRITEBYTECODE || echo kept",
            "show",
        ],
        cwd=PROJECT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.splitlines()[-1:] == ["kept"]
