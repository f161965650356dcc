"""The code is formatted, free of what the linter knows, and typed without a hole."""

from pathlib import Path

import pytest

from tests.architecture.programs import run_checker
from tests.architecture.sources import PROJECT
from tests.architecture.test_plugins import claim

STRICT = ("--config-file", str(PROJECT / "pyproject.toml"))


def test_the_code_is_formatted() -> None:
    answer = run_checker("ruff", "format", "--check", ".", folder=PROJECT)
    assert answer.returncode == 0, f"make format, please:\n{answer.stdout}"


def test_the_linter_finds_nothing() -> None:
    answer = run_checker("ruff", "check", "--output-format=concise", ".", folder=PROJECT)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.timeout(300)
def test_the_types_hold_and_every_plugin_has_the_shape_of_its_port(tmp_path: Path) -> None:
    """One run tells both: what costs is to read everything."""
    shapes = tmp_path / "claim.py"
    shapes.write_text(claim(PROJECT))
    answer = run_checker("mypy", "src", "tests", str(shapes), folder=PROJECT)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("checker", "text", "complaint"),
    [
        (("ruff", "format", "--check"), "x = {  'a':1 }\n", "would be reformatted"),
        (("ruff", "check"), "try:\n    f()\nexcept Exception:\n    pass\n", "BLE001"),
        (("ruff", "check"), '"""No full stop"""\n', "D415"),
        (("ruff", "check"), f'"""Long."""\n\nx = "{"x" * 100}"\n', "E501"),
        (("mypy", *STRICT), "def f(x): return x\n", "no-untyped-def"),
        (("mypy", *STRICT), "def f() -> int:\n    return 'x'\n", "return-value"),
        (("mypy", *STRICT), "x = 1  # type: ignore\n", "unused-ignore"),
    ],
)
def test_a_mutant_is_named(
    tmp_path: Path, checker: tuple[str, ...], text: str, complaint: str
) -> None:
    (tmp_path / "pyproject.toml").write_text((PROJECT / "pyproject.toml").read_text())
    (tmp_path / "mutant.py").write_text(text)
    answer = run_checker(*checker, "mutant.py", folder=tmp_path)
    assert answer.returncode != 0
    assert complaint in answer.stdout
