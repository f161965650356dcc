"""Imports only go down, and rooms on one line do not know each other."""

import shutil
from pathlib import Path

import pytest

from tests.architecture.programs import run_checker
from tests.architecture.sources import PROJECT, write_tree

ROOMS = ("adapters", "agent", "controller", "detectors", "faces", "facts", "lab", "policy", "ports")


def lint_imports(root: Path) -> tuple[bool, str]:
    answer = run_checker("lint-imports", "--no-cache", folder=root, source="src")
    return answer.returncode == 0, answer.stdout


def test_the_contracts_are_kept() -> None:
    kept, said = lint_imports(PROJECT)
    assert kept, said


def small_house(root: Path) -> Path:
    """Every room with nothing in it, under the project's own contracts."""
    shutil.copy(PROJECT / "pyproject.toml", root)
    (root / "src/holdfast").mkdir(parents=True)
    for folder in (".", *ROOMS):
        write_tree(root, {f"src/holdfast/{folder}/__init__.py": ""})
    return root


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("facts.mutant", "ports"),
        ("ports.mutant", "detectors"),
        ("detectors.mutant", "adapters"),
        ("policy.mutant", "detectors"),
        ("adapters.mutant", "policy"),
        ("agent.mutant", "controller"),
        ("lab.mutant", "agent"),
        ("controller.mutant", "faces"),
        ("detectors.vm_gone", "detectors.vm_stuck"),
        ("detectors.vm_gone", "detectors.panel"),
        ("adapters.vims.mutant", "adapters.stores"),
        ("adapters.drivers.mutant", "adapters.vims"),
    ],
)
def test_an_import_against_the_rules_is_named(tmp_path: Path, importer: str, imported: str) -> None:
    root = with_import(small_house(tmp_path), importer, imported)
    kept, said = lint_imports(root)
    assert not kept
    assert f"holdfast.{importer} -> holdfast.{imported}" in said


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("faces.mutant", "agent"),
        ("agent.mutant", "policy"),
        ("adapters.mutant", "ports"),
        ("detectors.panel", "detectors.vm_gone"),
        ("adapters.vims.mutant", "adapters.drivers.qmp"),
    ],
)
def test_an_import_that_goes_down_passes(tmp_path: Path, importer: str, imported: str) -> None:
    kept, said = lint_imports(with_import(small_house(tmp_path), importer, imported))
    assert kept, said


def test_a_room_that_no_contract_names_is_refused(tmp_path: Path) -> None:
    root = write_tree(small_house(tmp_path), {"src/holdfast/attic/__init__.py": ""})
    kept, said = lint_imports(root)
    assert not kept
    assert "attic" in said


def with_import(root: Path, importer: str, imported: str) -> Path:
    """Add an import of one module by another; both are made if they are not there."""
    for module, text in ((imported, ""), (importer, f"import holdfast.{imported}\n")):
        path = root / "src" / "holdfast" / (module.replace(".", "/") + ".py")
        for folder in path.parents:
            if folder.is_relative_to(root / "src" / "holdfast"):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "__init__.py").touch()
        if not path.with_suffix("").is_dir():
            path.write_text(text)
    return root
