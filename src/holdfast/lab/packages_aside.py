"""A distribution package is downloaded and unpacked aside, never installed."""

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from holdfast.lab.commands import LabError, run_command

DOWNLOAD_LIMIT_S = 600
UNPACK_LIMIT_S = 300


def list_dependencies(package: str) -> list[str]:
    """Name the packages that `package` depends on directly; an unknown package has none."""
    try:
        text = run_command(["apt-cache", "depends", package], timeout_s=60)
    except LabError:
        return []
    return re.findall(r"^\s*Depends: ([^<\s]+)$", text, flags=re.MULTILINE)


def list_closure(packages: Sequence[str]) -> list[str]:
    """Name all packages that an empty system would need to have these, as NAME=VERSION.

    Raises LabError when apt knows one of them not.
    """
    text = run_command(
        [
            *("apt-get", "-q", "-s", "-o", "Dir::State::status=/dev/null"),
            *("-o", "APT::Sandbox::User=root", "install", "--no-install-recommends", *packages),
        ],
        timeout_s=120,
    )
    found = re.findall(r"^Inst (\S+) \((\S+) ", text, flags=re.MULTILINE)
    return [f"{name}={version}" for name, version in found]


def is_known_package(package: str) -> bool:
    """Tell whether apt could download this package."""
    try:
        return bool(run_command(["apt-cache", "show", package], timeout_s=60).strip())
    except LabError:
        return False


def unpack_packages(packages: Sequence[str], folder: Path) -> Path:
    """Download packages into `folder` and unpack them together; returns the tree's root."""
    root = folder / "root"
    root.mkdir(parents=True, exist_ok=True)
    try:
        run_command(
            ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *packages],
            timeout_s=DOWNLOAD_LIMIT_S,
            cwd=folder,
        )
    except LabError as error:
        raise LabError(f"{error}\nRun `apt-get update` and look at the network.") from error
    archives = sorted(folder.glob("*.deb"))
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        list(pool.map(lambda archive: _unpack(archive, root), archives))
    return root


def _unpack(archive: Path, root: Path) -> None:
    run_command(["dpkg-deb", "-x", str(archive), str(root)], timeout_s=UNPACK_LIMIT_S)
    archive.unlink()
