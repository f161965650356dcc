"""Break the package on purpose, one edit at a time, and find the edits that no test notices.

Each is made in a copy, whose files are those of one compiled copy but for the edited one, and is
tested in a process of its own, forked from one that has pytest in memory. That takes half as long
as programs that begin with nothing, and there are hundreds of edits.
"""

import compileall
import contextlib
import io
import itertools
import multiprocessing
import os
import shutil
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from tests.policy.mutant import Mutant

PROJECT = Path(__file__).parents[2]
PACKAGE = PROJECT / "src/holdfast"
LIMIT_S = 60
# What most tests import, and is neither of this project nor rewritten by pytest.
IN_MEMORY = ["pytest", "msgspec", "asyncio"]


def survivors(mutants: Iterable[Mutant], folder: Path) -> list[str]:
    """Those that no test turned red for, each with what its tests said."""
    whole = folder / "whole"
    shutil.copytree(PACKAGE, whole, ignore=shutil.ignore_patterns("__pycache__"))
    assert compileall.compile_dir(whole, quiet=1)
    rooms = (folder / str(number) for number in itertools.count())
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(IN_MEMORY)
    with ProcessPoolExecutor(mp_context=processes, max_tasks_per_child=1) as pool:
        said = list(pool.map(_survives, mutants, itertools.repeat(whole), rooms))
    return [text for text in said if text]


def _survives(mutant: Mutant, whole: Path, room: Path) -> str:
    """Empty if the tests turned red; else what they said. In a process of its own."""
    copy = room / "holdfast"
    shutil.copytree(whole, copy, copy_function=os.link)
    source = copy / mutant.file
    text = source.read_text()
    assert text.count(mutant.old) == 1, f"{mutant.file} no longer has what is to be broken"
    source.unlink()  # It is the same file in all copies.
    source.write_text(text.replace(mutant.old, mutant.new))
    _import_first_from(room)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        ended = pytest.main(
            ["-q", "-x", "-p", "no:cacheprovider", f"--timeout={LIMIT_S}", *mutant.tests]
        )
    is_red = ended == pytest.ExitCode.TESTS_FAILED and " failed" in said.getvalue()
    return "" if is_red else f"{mutant.name} (exit {int(ended)}):\n{said.getvalue()[-800:]}"


def _import_first_from(room: Path) -> None:
    """The programs that tests start do so, too."""
    assert "holdfast" not in sys.modules, "it is to come from the copy"
    for name in [one for one in sys.modules if one.partition(".")[0] == "tests"]:
        del sys.modules[name]  # Pytest must see them come, to explain what fails in them.
    os.chdir(PROJECT)
    sys.path.insert(0, str(room))
    sys.dont_write_bytecode = True
    os.environ |= {"PYTHONPATH": str(room), "PYTHONDONTWRITEBYTECODE": "1"}
