"""Which random worlds a swarm's tests play, and how: `make swarm SEED=7`, or SEEDS=5000."""

import os
from collections.abc import Callable
from typing import Any

from tests.simulation.site_mutants import Mutant

MUTANT_WORLDS = 12


class Seeds:
    """So many worlds, where nothing else is asked for, in groups that run beside each other."""

    def __init__(self, worlds: int, groups: int) -> None:
        self._first = int(os.environ.get("SEED") or 0)
        self._worlds = int(os.environ.get("SEEDS") or (1 if os.environ.get("SEED") else worlds))
        self._groups = min(self._worlds, groups)
        self.groups = range(self._groups)

    def play(self, swarm: Callable[[int], Any], group: int) -> None:
        """Raises AssertionError with the seed that shows it again."""
        for seed in range(self._first + group, self._first + self._worlds, self._groups):
            try:
                swarm(seed).run()
            except AssertionError as failure:
                raise AssertionError(f"seed {seed} (make swarm SEED={seed}): {failure}") from None


def must_be_found(mutant: Mutant, swarm: Callable[..., Any]) -> None:
    """Some world shows that the mutant breaks its law."""
    for seed in range(MUTANT_WORLDS):
        try:
            swarm(seed, trouble=mutant.trouble, **mutant.parts).run(turns=6)
        except AssertionError as failure:
            if mutant.law in str(failure).partition("\nafter this story")[0]:
                return
    raise AssertionError(f"{MUTANT_WORLDS} random sites did not show that {mutant.name}")
