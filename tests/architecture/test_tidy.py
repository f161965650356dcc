"""Every file says what it is for, stays small, and keeps its imports at the top."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import PROJECT, Complaint, Rule, Source, complaints

FILE_LINES = 400
FUNCTION_LINES = 70
SAYS_NOTHING = {"utils", "util", "common", "helpers", "helper", "base", "manager", "misc", "core"}
LATE = "# Late: "


def says_what_it_is_for(source: Source) -> Iterator[Complaint]:
    docstring = ast.get_docstring(source.tree, clean=False)
    if docstring is None or not source.text.lstrip().startswith(('"""', "#!")):
        yield 1, "a file begins with a docstring that says what it is for"
    elif not docstring.split("\n")[0].endswith((".", "?", "!")):
        yield 1, "the docstring's first line is a sentence, with its full stop"


def is_small(source: Source) -> Iterator[Complaint]:
    if len(source.lines) > FILE_LINES:
        yield FILE_LINES, f"{len(source.lines)} lines; a file has up to {FILE_LINES}"
    for function in source.functions:
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > FUNCTION_LINES:
            yield (
                function.lineno,
                f"{function.name} has {length} lines; a function has up to {FUNCTION_LINES}",
            )


def has_a_telling_name(source: Source) -> Iterator[Complaint]:
    for part in Path(source.name).with_suffix("").parts:
        if SAYS_NOTHING & set(part.split("_")):
            yield 1, f"{part!r} says nothing about what is in it"


def imports_at_the_top(source: Source) -> Iterator[Complaint]:
    if not any(statement.col_offset for statement in source.imports):
        return  # Inside of a function it would be indented: then no function is looked through.
    late = {
        statement.lineno
        for function in source.functions
        for statement in ast.walk(function)
        if isinstance(statement, ast.Import | ast.ImportFrom)
    }
    for line in sorted(late):
        beside = source.lines[max(line - 2, 0) : line]
        if not any(text.partition(LATE)[2].strip() for text in beside):
            yield line, f"an import inside a function needs its reason: {LATE}..."


def fakes_instead_of_patches(source: Source) -> Iterator[Complaint]:
    for statement in source.imports:
        names = [alias.name for alias in statement.names]
        module = statement.module if isinstance(statement, ast.ImportFrom) else None
        if (
            module == "unittest.mock"
            or "unittest.mock" in names
            or (module, names) == ("unittest", ["mock"])
        ):
            yield statement.lineno, "no mock.patch: write a fake, and check it by the contract test"
    for call in source.calls:
        if isinstance(call.func, ast.Attribute) and ast.unparse(call.func) == "monkeypatch.setattr":
            yield call.lineno, "no patching: hand the test's own object in"


RULES: list[Rule] = [
    says_what_it_is_for,
    is_small,
    has_a_telling_name,
    imports_at_the_top,
    fakes_instead_of_patches,
]


def test_every_file_is_tidy() -> None:
    assert complaints(PROJECT, *RULES) == []


LONG_FUNCTION = '"""Is long."""\ndef f() -> None:\n' + "    pass\n" * FUNCTION_LINES


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("a.py", "x = 1\n", says_what_it_is_for),
        ("a.py", "", says_what_it_is_for),
        ("a.py", '# Late docstring\nx = 1\n"""Says."""\n', says_what_it_is_for),
        ("a.py", '"""Host monitor module"""\n', says_what_it_is_for),
        ("a.py", '"""\nOn the second line.\n"""\n', says_what_it_is_for),
        ("a.py", '"""Is long."""\n' * (FILE_LINES + 1), is_small),
        ("a.py", LONG_FUNCTION, is_small),
        ("utils.py", '"""Says."""\n', has_a_telling_name),
        ("vm_helpers.py", '"""Says."""\n', has_a_telling_name),
        ("core/a.py", '"""Says."""\n', has_a_telling_name),
        ("a.py", '"""Says."""\ndef f():\n    import os\n', imports_at_the_top),
        ("a.py", '"""Says."""\ndef f():\n    import os  # Late:\n', imports_at_the_top),
        (
            "a.py",
            '"""Says."""\nclass A:\n    async def f(self):\n        from os import path\n',
            imports_at_the_top,
        ),
        ("a.py", '"""Says."""\nfrom unittest import mock\n', fakes_instead_of_patches),
        ("a.py", '"""Says."""\nfrom unittest.mock import patch\n', fakes_instead_of_patches),
        ("a.py", '"""Says."""\nimport unittest.mock\n', fakes_instead_of_patches),
        ("a.py", '"""Says."""\nmonkeypatch.setattr(a, "b", 1)\n', fakes_instead_of_patches),
    ],
)
def test_an_untidy_file_is_named(tmp_path: Path, name: str, text: str, rule: Rule) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    found = complaints(tmp_path, *RULES)
    assert found, "nothing was found"
    assert complaints(tmp_path, rule) == found, "another rule than the one meant spoke"


def test_a_tidy_file_passes(tmp_path: Path) -> None:
    (tmp_path / "killed.py").write_text(
        '"""A VM is gone when its process is.\n\nMore.\n"""\n'
        "import os\n"
        "def f():\n"
        "    # Late: the agent does without it.\n"
        "    import rados\n"
        "    import rbd  # Late: likewise.\n"
    )
    assert complaints(tmp_path, *RULES) == []
