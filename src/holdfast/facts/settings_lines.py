"""Where each key of a TOML text stands, so that a mistake can be named by its line.

The standard library's reader gives values without lines. A scan line by line is enough: a line
that only looks like a key (within a long text) can at worst shift the line that a message names.
"""

import tomllib
from typing import Any

Path = tuple[str, ...]


class Lines:
    def __init__(self, text: str) -> None:
        self._first: dict[Path, int] = {}
        table: Path = ()
        for number, line in enumerate(text.splitlines(), start=1):
            stripped = line.strip()
            if stripped.startswith("["):
                table = _path_of(stripped) or table
                self._keep(table, number)
            elif "=" in stripped and not stripped.startswith("#"):
                key = _path_of(stripped.partition("=")[0] + "= 0")
                if key:
                    self._keep((*table, *key), number)

    def of(self, path: Path) -> int:
        """The line of a key; of the nearest table around it where the key is not to be seen."""
        while path and path not in self._first:
            path = path[:-1]
        return self._first.get(path, 1)

    def _keep(self, path: Path, number: int) -> None:
        for length in range(1, len(path) + 1):
            self._first.setdefault(path[:length], number)


def _path_of(line: str) -> Path:
    try:
        return _path(tomllib.loads(line))
    except tomllib.TOMLDecodeError:
        return ()


def _path(tree: dict[str, Any]) -> Path:
    """The one way down into a tree of one key, through a table or a list of one table."""
    path: Path = ()
    inner: Any = tree
    while inner:
        inner = inner[0] if isinstance(inner, list) else inner
        if not isinstance(inner, dict) or len(inner) != 1:
            break
        [key] = inner
        path, inner = (*path, key), inner[key]
    return path
