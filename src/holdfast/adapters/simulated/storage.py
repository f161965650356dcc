"""Storage that all simulated hosts share, and that can cut one of them off from disks.

No storage that Holdfast works with does this yet: there is no port for it, and nobody is offered
it. It is here so that the rules of such a proof stand before anything relies on them.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from holdfast.facts.tenure import DeathProof, ProofKind, Tenure


class NotCutOff(Exception):
    """Why the host can still write, or may: a sentence."""


@dataclass
class SharedStorage:
    """`serves`: hosts whose address serves the storage itself. `lies`: it says that it cut a host
    off, and did not. `deaf_to`: disks on which a cut has no effect, and it says so."""

    serves: set[str] = field(default_factory=set)
    deaf_to: set[str] = field(default_factory=set)
    is_away: bool = False
    lies: bool = False
    lied_about: set[tuple[str, str]] = field(default_factory=set)  # Host and disk.
    _cut: set[tuple[str, str]] = field(default_factory=set)

    def can_write(self, host: str, disk: str) -> bool:
        return (host, disk) not in self._cut

    def let_in(self, host: str) -> None:
        """By people, once nothing is left there of what was cut off."""
        self._cut = {one for one in self._cut if one[0] != host}

    def cut_off(
        self,
        tenure: Tenure,
        disks: Iterable[str],
        remade: Collection[str] = (),
        *,
        is_unreachable: bool = False,
    ) -> DeathProof:
        """Block the host's whole address at each disk, and read that back. Raises NotCutOff."""
        host, wanted = tenure.host, [disk for disk in disks if disk not in remade]
        if self.is_away:
            raise NotCutOff("the storage does not answer; nobody is cut off from it")
        if host in self.serves:
            raise NotCutOff(f"{host} serves the storage itself: cut off, it would take that away")
        for disk in wanted:
            if self.lies:
                self.lied_about.add((host, disk))
            elif disk not in self.deaf_to:
                self._cut.add((host, disk))
        cut = tuple(disk for disk in wanted if self.lies or not self.can_write(host, disk))
        if len(cut) < len(wanted):
            left = ", ".join(sorted(set(wanted) - set(cut)))
            raise NotCutOff(f"{host} can write to {left} still")
        return DeathProof(
            kind=ProofKind.STORAGE,
            host=host,
            boot=tenure.boot,
            vm=tenure.vm,
            generation=tenure.generation,
            disks=cut,
            remade=tuple(remade),
            is_unreachable=is_unreachable,
            shown=(f"the storage lets {host} write to none of {len(cut)} disks",),
        )
