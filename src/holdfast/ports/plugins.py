"""Find plug-ins by file name: the name in the configuration is the name of the module."""

import difflib
import functools
import importlib
import pkgutil
from typing import Any


class UnknownPlugin(LookupError):
    """No such plug-in; the text names the near ones."""


def names(package: str) -> list[str]:
    """Every plug-in of a folder. A plug-in folder holds plug-ins only; none is imported here."""
    return list(_found(package))


@functools.cache  # No plug-in comes or goes while a program runs.
def _found(package: str) -> tuple[str, ...]:
    root = importlib.import_module(package)
    return tuple(sorted(module.name for module in pkgutil.iter_modules(root.__path__)))


def word(package: str, name: str, wanted: str, default: str) -> str:
    """What plug-in `name` says of itself in the constant `wanted` of its module."""
    said: str = getattr(importlib.import_module(f"{package}.{name}"), wanted, default)
    return said


def load(package: str, name: str) -> Any:
    """The PLUGIN of module `name`; only that module is imported. Raises UnknownPlugin."""
    known = names(package)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
        raise UnknownPlugin(f"there is no {package.rpartition('.')[2]} named {name!r}; {hint}")
    return importlib.import_module(f"{package}.{name}").PLUGIN
