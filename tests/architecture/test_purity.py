"""Facts, detectors and policy do no I/O, read no clock, draw no lots: the same in, the same out."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import PROJECT, Complaint, Source, complaints, dotted, write_tree

PURE_ROOMS = ("facts", "detectors", "policy")

# What pure rooms may import. Add what can do no I/O, cannot wait, and is the same on every run.
PURE_MODULES = {
    "__future__", "abc", "base64", "bisect", "collections", "copy", "dataclasses", "datetime",
    "difflib", "enum", "fractions", "functools", "hashlib", "heapq", "hmac", "holdfast",
    "ipaddress", "itertools", "math", "msgspec", "operator", "re", "statistics", "string",
    "struct", "textwrap", "tomllib", "types", "typing", "typing_extensions", "unicodedata",
    "uuid", "zlib",
}  # fmt: skip
PURE_NAMES = {
    "pathlib": {"PurePath", "PurePosixPath"},
    "urllib.parse": {"quote", "unquote", "urlsplit", "urlunsplit", "SplitResult"},
}
IMPURE_CALLS = {
    "open",
    "print",
    "input",
    "eval",
    "exec",
    "compile",
    "__import__",
    "breakpoint",
    "id",
    "hash",
}
CLOCKS_AND_LOTS = {"now", "utcnow", "today", "uuid1", "uuid4"}


def is_pure_import(statement: ast.Import | ast.ImportFrom) -> bool:
    if isinstance(statement, ast.ImportFrom):
        allowed = PURE_NAMES.get(statement.module or "")
        if allowed is not None:
            return {alias.name for alias in statement.names} <= allowed
        return (statement.module or "").split(".")[0] in PURE_MODULES
    return all(alias.name.split(".")[0] in PURE_MODULES for alias in statement.names)


def is_pure(source: Source) -> Iterator[Complaint]:
    if not source.is_in(*PURE_ROOMS):
        return
    for statement in source.imports:
        if not is_pure_import(statement):
            yield statement.lineno, f"a pure room does without `{ast.unparse(statement)}`"
    for node in source.nodes:
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield node.lineno, "a pure room never waits: no async, no await"
    for call in source.calls:
        name = dotted(call.func)
        first, _, last = name.rpartition(".")
        if (not first and name in IMPURE_CALLS) or (
            last in CLOCKS_AND_LOTS and is_of_a_module(first)
        ):
            yield call.lineno, f"a pure room does not call {name}()"


def is_of_a_module(owner: str) -> bool:
    """Whether `now` and its like, called on this owner, are the standard library's own."""
    return owner in {"", "date", "datetime", "datetime.date", "datetime.datetime", "uuid"}


def test_pure_rooms_are_pure() -> None:
    assert complaints(PROJECT, is_pure) == []


@pytest.mark.parametrize(
    "line",
    [
        "import time",
        "import random",
        "import os",
        "import socket",
        "import asyncio",
        "import threading",
        "import subprocess",
        "import logging",
        "import secrets",
        "import os.path",
        "from time import monotonic",
        "from pathlib import Path",
        "import pathlib",
        "import libvirt",
        "def f():\n    import time",
        "async def f(): pass",
        "open('x')",
        "print('x')",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime\ndatetime.now()",
        "from uuid import uuid4\nuuid4()",
    ],
)
@pytest.mark.parametrize("room", PURE_ROOMS)
def test_an_impure_line_is_named(tmp_path: Path, room: str, line: str) -> None:
    write_tree(tmp_path, {f"src/holdfast/{room}/mutant.py": line + "\n"})
    assert complaints(tmp_path, is_pure)


def test_other_rooms_may_be_impure(tmp_path: Path) -> None:
    write_tree(tmp_path, {"src/holdfast/agent/loop.py": "import time\n"})
    assert complaints(tmp_path, is_pure) == []


def test_a_pure_line_passes(tmp_path: Path) -> None:
    pure = (
        "from pathlib import PurePosixPath\nimport msgspec\ndef f(now):\n    return clock.now()\n"
    )
    write_tree(tmp_path, {"src/holdfast/policy/pure.py": pure})
    assert complaints(tmp_path, is_pure) == []


def test_every_pure_module_is_one_of_ours_or_of_python() -> None:
    assert PURE_MODULES - sys.stdlib_module_names == {"holdfast", "msgspec", "typing_extensions"}
