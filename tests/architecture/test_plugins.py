"""A plug-in is one module whose PLUGIN makes what its port asks for, as the types say.

Those of this project are checked with all its types, in test_static.py; how, is tested here.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.programs import run_checker
from tests.architecture.sources import PROJECT, write_tree

# Folders of adapters that are no port's: a data centre in memory, and how to talk to one product.
NO_PLUGINS = {"simulated", "drivers"}
IRREGULAR = {"outboxes": "outbox", "switches": "switch"}


def plugins(root: Path) -> Iterator[tuple[str, str]]:
    """Each plug-in module with the name of its port: ("holdfast.adapters.vims.nova", "vim")."""
    package = root / "src" / "holdfast"
    folders = {package / "detectors": "detector"}
    for folder in (package / "adapters").iterdir():
        if folder.is_dir() and folder.name not in NO_PLUGINS and folder.name[0].isalpha():
            folders[folder] = IRREGULAR.get(folder.name) or folder.name.removesuffix("s")
    for folder, port in sorted(folders.items()):
        for path in sorted(folder.iterdir()):
            is_module = path.suffix == ".py" or (path / "__init__.py").exists()
            if is_module and path.stem not in {"__init__", "panel"}:
                yield ".".join(path.relative_to(root / "src").with_suffix("").parts), port


def claim(root: Path) -> str:
    """A program that is well typed if and only if every PLUGIN makes what its port asks for."""
    lines = ['"""What every plug-in promises."""', "from collections.abc import Callable"]
    for number, (module, port) in enumerate(plugins(root)):
        shape = port.title().replace("_", "")
        lines += [
            f"from holdfast.ports.{port} import {shape} as Shape{number}",
            f"from {module} import PLUGIN as plugin{number}",
            f"claim{number}: Callable[..., Shape{number}] = plugin{number}",
        ]
    return "\n".join(lines) + "\n"


def check_claim(root: Path, folder: Path) -> tuple[bool, str]:
    (folder / "claim.py").write_text(claim(root))
    answer = run_checker("mypy", str(folder / "claim.py"), folder=root)
    return answer.returncode == 0, answer.stdout


PORT = '''"""Says."""
from typing import Protocol
class Vim(Protocol):
    def report(self, alarm: str) -> bool: ...
'''
GOOD = '''"""Says."""
class Paper:
    def __init__(self, path: str) -> None: ...
    def report(self, alarm: str) -> bool:
        return True
PLUGIN = Paper
'''


def small_house(root: Path, plugin: str) -> Path:
    shutil.copy(PROJECT / "pyproject.toml", root)
    folders = ("", "detectors/", "ports/", "adapters/", "adapters/vims/", "adapters/drivers/")
    write_tree(root, {f"src/holdfast/{folder}__init__.py": "" for folder in folders})
    write_tree(root, {"src/holdfast/ports/vim.py": PORT})
    write_tree(root, {"src/holdfast/adapters/drivers/qmp.py": '"""Says."""\n'})
    return write_tree(root, {"src/holdfast/adapters/vims/paper.py": plugin})


def test_a_plugin_of_the_right_shape_passes(tmp_path: Path) -> None:
    root = small_house(tmp_path, GOOD)
    assert list(plugins(root)) == [("holdfast.adapters.vims.paper", "vim")]
    held, said = check_claim(root, tmp_path)
    assert held, said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("PLUGIN = Paper", ""),
        ("PLUGIN = Paper", "PLUGIN = Paper('x')"),
        ("def report", "def tell"),
        ("-> bool:\n        return True", "-> str:\n        return ''"),
    ],
)
def test_a_plugin_of_another_shape_is_named(tmp_path: Path, before: str, after: str) -> None:
    held, said = check_claim(small_house(tmp_path, GOOD.replace(before, after)), tmp_path)
    assert not held
    assert "claim.py" in said
