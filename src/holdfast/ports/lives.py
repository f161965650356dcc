"""Which life of a VM is meant: the kernel names the life, libvirt's events name only the VM."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from holdfast.facts.subjects import Incarnation

LIVES_KEPT = 2_000  # More than a host can hold; only a defect or a crash loop comes near it.

Kept = TypeVar("Kept")


class Lives(Generic[Kept]):
    """What is kept about each life, in the order in which the lives began."""

    def __init__(self, make: Callable[[Incarnation], Kept], most: int = LIVES_KEPT) -> None:
        self._make = make
        self._most = most
        self._of_vm: dict[str, dict[str, Kept]] = {}
        self._names: dict[str, str] = {}
        self._count = 0

    def __iter__(self) -> Iterator[Kept]:
        for lives in self._of_vm.values():
            yield from lives.values()

    def __len__(self) -> int:
        return self._count

    def __contains__(self, life: Incarnation) -> bool:
        return life.key in self._of_vm.get(life.vm, {})

    def of(self, life: Incarnation) -> Kept:
        """What is kept about this life; a life not heard of yet becomes its VM's newest."""
        lives = self._of_vm.setdefault(life.vm, {})
        if life.key not in lives:
            self._make_room()
            self._of_vm.setdefault(life.vm, lives)[life.key] = self._make(life)
            self._count += 1
        return lives[life.key]

    def newest(self, vm: str) -> Kept | None:
        return next(reversed(self._of_vm.get(vm, {}).values()), None)

    def all_of(self, vm: str) -> list[Kept]:
        """Oldest first."""
        return list(self._of_vm.get(vm, {}).values())

    def forget(self, life: Incarnation) -> None:
        lives = self._of_vm.get(life.vm, {})
        if lives.pop(life.key, None) is not None:
            self._count -= 1
        if not lives:
            self._of_vm.pop(life.vm, None)
            self._names.pop(life.vm, None)

    def call(self, vm: str, name: str) -> None:
        """Remember the name that people use for a VM with a known life."""
        if name and vm in self._of_vm:
            self._names[vm] = name

    def name(self, vm: str) -> str:
        return self._names.get(vm, vm)

    def _make_room(self) -> None:
        """Drop the oldest life that its VM has left behind; if there is none, the first VM."""
        while self._count >= self._most:
            past = (lives for lives in self._of_vm.values() if len(lives) > 1)
            vm = next(iter(self._of_vm))
            lives = next(past, self._of_vm[vm])
            del lives[next(iter(lives))]
            self._count -= 1
            if not lives:
                del self._of_vm[vm]
                self._names.pop(vm, None)
