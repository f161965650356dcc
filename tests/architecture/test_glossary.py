"""One thing, one name: what people read never says the words that the glossary rules out."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import PROJECT, write_tree

# Ruled out in the one meaning that the glossary gives, and right in another: a check cannot tell.
AMBIGUOUS = set(
    "acknowledge case check class close code compute daemon dead down dump error event failed "
    "failure frozen generation heartbeat history hung hypervisor link listener lock log "
    "logger lost manage manager mode monitor network outage parent pause ping policy pool "
    "primary probe queue quorum reboot receiver report ring send server session set stuck "
    "version".split()
)
ROW = re.compile(r"(?<!\\)\|")
# Decisions name what was weighed and not taken; these two are other people's words.
NOT_READ = {"docs/GLOSSARY.md", "docs/openapi.json"}


def ruled_out(root: Path) -> set[str]:
    """The words at the right of the glossary, without what stands in brackets."""
    words = set()
    for line in (root / "docs/GLOSSARY.md").read_text().splitlines():
        if line.startswith("| **"):
            said = re.sub(r"\(.*?\)", "", ROW.split(line)[3])
            words |= {word.strip() for word in said.split(",") if word.strip()}
    return words


def read_by_people(root: Path) -> Iterator[tuple[str, str]]:
    """Pages, and the sentences of the programs; names in code are for those who write it."""
    for path in sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md")]):
        name = str(path.relative_to(root))
        if name not in NOT_READ and not name.startswith("docs/decisions/"):
            yield name, path.read_text()
    for path in sorted((root / "src/holdfast").rglob("*.py")):
        if "lab" not in path.parts:
            yield str(path.relative_to(root)), "\n".join(sentences(path.read_text()))


def sentences(source: str) -> Iterator[str]:
    nodes = list(ast.walk(ast.parse(source)))
    about = {
        id(node.body[0].value)
        for node in nodes
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in nodes:
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and " " in text and id(node) not in about:
            yield text


def wrong_words(root: Path) -> list[str]:
    words = "|".join(sorted(map(re.escape, ruled_out(root) - AMBIGUOUS), key=len, reverse=True))
    pattern = re.compile(rf"(?<![\w./-])(?:{words})s?(?![\w-])", re.IGNORECASE)
    return [
        f"{name}: {match[0]!r} is ruled out by the glossary"
        for name, text in read_by_people(root)
        for match in pattern.finditer(text)
    ]


def test_what_people_read_uses_the_words_of_the_glossary() -> None:
    assert wrong_words(PROJECT) == []


def test_what_is_excused_is_in_the_glossary() -> None:
    assert ruled_out(PROJECT) >= AMBIGUOUS
    assert len(ruled_out(PROJECT) - AMBIGUOUS) > 40


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("docs/START.md", "Every node sends pulses.\n"),
        ("README.md", "It will evacuate the VMs.\n"),
        (
            "src/holdfast/faces/x.py",
            'def f():\n    """A node."""\n    return f"the nodes of {1}"\n',
        ),
    ],
)
def test_a_word_that_is_ruled_out_is_named(tmp_path: Path, name: str, text: str) -> None:
    glossary = (PROJECT / "docs/GLOSSARY.md").read_text()
    write_tree(tmp_path, {"docs/GLOSSARY.md": glossary, name: text})
    [found] = wrong_words(tmp_path)
    assert found.startswith(f"{name}: ")
