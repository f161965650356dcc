"""One deliberate edit of the source, and the tests that must turn red for it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """`tests` are those that must turn red; the fewer the faster."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = ("tests/policy/test_decisions.py", "tests/policy/test_promises.py")
