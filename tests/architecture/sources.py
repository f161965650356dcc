"""A source is a Python file of a tree, read once, with what the rules ask of it."""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
NOT_OURS = {"build", "__pycache__"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One Python file; `name` is its path below the tree's root, with slashes."""

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.name)

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @property
    def functions(self) -> Iterator[Function]:
        return (node for node in self.nodes if isinstance(node, Function))

    @property
    def imports(self) -> Iterator[ast.Import | ast.ImportFrom]:
        return (node for node in self.nodes if isinstance(node, ast.Import | ast.ImportFrom))

    @property
    def calls(self) -> Iterator[ast.Call]:
        return (node for node in self.nodes if isinstance(node, ast.Call))

    def is_in(self, *rooms: str) -> bool:
        """Whether this file belongs to one of these rooms of the package."""
        return self.name.startswith(tuple(f"src/holdfast/{room}/" for room in rooms))


# A rule yields what it has against a source: a line number and a sentence.
Complaint = tuple[int, str]
Rule = Callable[[Source], Iterable[Complaint]]


def files(root: Path) -> Iterator[Path]:
    """Every file of the tree that is ours: none in hidden folders, but .ci."""
    for path in sorted(root.iterdir()):
        if path.is_symlink() or path.name in NOT_OURS:
            continue
        if path.is_file():
            yield path
        elif path.is_dir() and (path.name == ".ci" or not path.name.startswith(".")):
            yield from files(path)


def sources(root: Path) -> Iterator[Source]:
    """Every Python file of the tree that is ours."""
    for path in files(root):
        if path.suffix == ".py":
            yield Source(path.relative_to(root).as_posix(), path.read_text())


def complaints(root: Path, *rules: Rule) -> list[str]:
    """What the rules have against the tree, as FILE:LINE: SENTENCE."""
    return [
        f"{source.name}:{line}: {sentence}"
        for source in sources(root)
        for rule in rules
        for line, sentence in rule(source)
    ]


def dotted(node: ast.expr) -> str:
    """`datetime.datetime.now` for such an expression; empty for any other kind."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else node.attr
    return ""


def write_tree(root: Path, texts: dict[str, str]) -> Path:
    """Make a small tree to try a rule on, from each file's name below the root to its text."""
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root
