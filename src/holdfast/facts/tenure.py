"""Who may run a VM: one record per protected VM, from which nobody may deviate.

The store holds the record; the host's agent keeps a durable copy and starts the VM only if that
copy says held, wanted running, this host, this boot. A restart in place keeps the generation; a
start elsewhere compare-and-swaps to generation + 1.
"""

from enum import StrEnum

from msgspec import Struct

# The boot of a tenure that came out of a backup: no host ever has it, so nobody may start the VM
# until its host's own copy says that nothing newer was agreed.
RESTORED = "restored"


class TenureState(StrEnum):
    HELD = "held"
    MIGRATING = "migrating"
    RECOVERING = "recovering"


class Wanted(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"


class Tenure(Struct, frozen=True, kw_only=True):
    """`revision` rises with every change within a generation: of two copies the higher is newer."""

    vm: str
    generation: int
    host: str
    boot: str
    state: TenureState
    wanted: Wanted
    revision: int = 0


class LocalProof(Struct, frozen=True, kw_only=True):
    """No process with this uuid, its cgroup empty, in this boot; its disks and taps free.

    Only adapters make one, after they looked. It permits a restart in place and nothing else.
    `shown` lists, in words, what was looked at. `is_of_copy`: its disks were not, since another
    host uses them: it shows that a copy is gone, and permits no start.
    """

    vm: str
    boot: str
    incarnation: str
    shown: tuple[str, ...]
    at: int
    is_of_copy: bool = False


class ProofKind(StrEnum):
    POWER = "power"
    WATCHDOG = "watchdog"
    STORAGE = "storage"
    PERSON = "person"


class Identity(StrEnum):
    """A guest whose disks are cut off runs on from memory, and still has its addresses."""

    TOLERATE = "tolerate"  # That is known, and borne: its disks are all that counts.
    CUT = "cut"  # Its network must be cut off, too.


class DeathProof(Struct, frozen=True, kw_only=True):
    """That a host (host id, boot), or a VM's disks (VM, generation), can do no more harm.

    A restart elsewhere takes one. Only adapters make it, after they looked. `boot` is the newest
    that it covers, `earlier` those before it; a boot that began later is not covered. `shown`
    lists, in words, what was looked at; `by` is the person who gave it, or empty. `took_ms` is how
    long the fence agent took for it, its read-back included. A lease that ran out proves it of
    `vms` alone: nobody ended the host's others.

    Of a storage proof, which is about one VM: `disks` are those that its host cannot write any
    more, `remade` those that are made anew wherever it starts; `is_unreachable`: its network was
    cut off, too.
    """

    kind: ProofKind
    host: str
    boot: str
    earlier: tuple[str, ...] = ()
    vm: str = ""
    generation: int = 0
    shown: tuple[str, ...] = ()
    by: str = ""
    took_ms: int = 0
    vms: tuple[str, ...] = ()
    disks: tuple[str, ...] = ()
    remade: tuple[str, ...] = ()
    is_unreachable: bool = False

    @property
    def in_short(self) -> str:
        """Of a person's word, whose it is and how they know: all that was looked at beside it is
        kept here, and would grow old where it is said again and again."""
        shown = self.shown[:1] if self.kind is ProofKind.PERSON else self.shown
        return "; ".join(shown)
