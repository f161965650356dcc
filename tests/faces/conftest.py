"""What the tests of faces share: a fixed time zone, a run directory, and running a command."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdfast.faces.cli import main


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it printed where."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def site_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site of its own: its settings file is the one that commands find."""
    for name in ("state", "run", "cache"):
        (tmp_path / name).mkdir()
    file = tmp_path / "holdfast.toml"
    file.write_text(
        f'[storage]\nstate_dir = "{tmp_path}/state"\nrun_dir = "{tmp_path}/run"\n'
        f'cache_dir = "{tmp_path}/cache"\n'
        # libvirt's own fake: no VM of this machine may ever be seen from here.
        '[libvirt]\nuri = "test:///default"\n'
    )
    monkeypatch.setenv("HOLDFAST_CONFIG", str(file))
    monkeypatch.setenv("LOGNAME", "anna")
    monkeypatch.delenv("SUDO_USER", raising=False)
    return tmp_path


@pytest.fixture
def run_dir(site_dir: Path) -> Path:
    return site_dir / "run"


@pytest.fixture
def run(site_dir: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run_command(*words: str) -> Ran:
        capsys.readouterr()
        code = int(main.run(list(words)))
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run_command
