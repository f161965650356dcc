"""The laws of fencing and recovery elsewhere, checked at each start, switching-off and look.

They are about what truly happens to machines and disks. Where a story lies on purpose (a BMC, its
wiring, a person), the program must have had a proof, and the law is about that proof.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from holdfast.adapters.simulated.bmc import Bmc, Ordered
from holdfast.adapters.simulated.vm import SimulatedVm
from holdfast.facts.alarms import Alarm
from holdfast.facts.fencing import HostMode
from holdfast.facts.instants import NS_PER_MS, NS_PER_S
from holdfast.facts.lease_times import LEASE_MS
from holdfast.facts.subjects import SubjectKind
from tests.simulation.data_centre import DataCentre
from tests.simulation.fence_truth import Begun, FenceTruth
from tests.simulation.site_laws import LawBroken, SiteLaws

TICK_MS = 100.0
# Less what clocks and networks may make of it: a grant names a pulse that was sent before.
LAPSED_NS = (LEASE_MS - 1_000) * NS_PER_MS
HEARD_NS = 5 * NS_PER_S  # Whom all have heard for so long, nobody may fence.
WINDOW_NS = 600 * NS_PER_S
SHARE_PERCENT = 30

TWO_COPIES = "no two copies able to write"
UNPROVEN = "no start elsewhere without a proof that covers it"
POWER = "no power action while braked, disarmed or deposed, or in report mode"
UNCOMMITTED = "no power action that is not committed"
ONLY_OFF = "automatic fencing only switches off"
HEARD = "nobody is fenced who was heard by everybody"
RESTORED = "the promised number is restored, or alarmed with the reason"
ONCE = "a recovery happens once"
UNASKED = "no watchdog is open where nobody asked for a lease"


def share(hosts: int) -> int:
    """How many hosts may be switched off within the window."""
    return max(1, hosts * SHARE_PERCENT // 100)


@dataclass
class FenceLaws:
    """`most` gives the number of hosts that may be switched off within a window, of so many."""

    site: DataCentre
    laws: SiteLaws
    most: Callable[[int], int] = share
    window_ns: int = WINDOW_NS
    starts_elsewhere: int = 0
    switched_off: list[tuple[int, str]] = field(default_factory=list)  # When, and which host.
    _held: dict[tuple[str, int], str] = field(default_factory=dict)  # By VM and generation: host.
    _asked_for: set[str] = field(default_factory=set)  # Hosts of which a VM ever relied.
    _lied_about: set[str] = field(default_factory=set)  # Disks with two copies: a lie, or told.

    def __post_init__(self) -> None:
        self.truth = FenceTruth(self.site, self.laws.paths)
        for name, host in self.site.hosts.items():
            host.machine.vms.begun.append(partial(self._began, name))
        self.site.bmcs.ordered.append(self._ordered)
        self.site.bmcs.switched.append(self._switched)
        self.laws.may_stay = lambda alarm: self._is_of_lost_vm(alarm) or self._is_of_a_lie(alarm)
        self.laws.is_deceived = self.truth.is_deceived
        self._tick()

    # A VM begins.

    def _began(self, host: str, vm: SimulatedVm, generation: int) -> None:
        before = self.truth.begun.get(vm.writes_to, [])
        last = before[-1] if before else None
        if last is not None and last.host != host and generation:
            self.starts_elsewhere += 1
            self._judge_start(last, host, generation)
        if generation:
            self._judge_generation(vm, host, generation, before)
        self.truth.note_begin(host, vm, generation)
        self.laws.vm_started(self.site.hosts[host], vm.name)
        self.judge_copies()

    def _judge_start(self, last: Begun, host: str, generation: int) -> None:
        has_proof = self.truth.has_proof(last, host, generation)
        can_do_harm = self.truth.can_do_harm(last)
        disk = self.truth.disk_of(last)
        is_lied_about = (last.host, disk) in self.site.storage.lied_about
        is_lied_about |= self.truth.is_deceived(last.host, last.boot)
        if has_proof and can_do_harm and is_lied_about:
            self._lied_about.add(disk)
        elif can_do_harm or not has_proof:
            why = f"{last.host} still runs it" if can_do_harm else "the store had no proof"
            self._breach(UNPROVEN, f"{last.name} began on {host}, and {why} of {last.boot}")

    def _judge_generation(
        self, vm: SimulatedVm, host: str, generation: int, before: list[Begun]
    ) -> None:
        holder = self._held.setdefault((vm.uuid, generation), host)
        if holder != host:
            self._breach(ONCE, f"{vm.name} of generation {generation} began on {holder} and {host}")
        newer = [b for b in before if b.host != host and b.generation > generation]
        if newer:
            text = f"{vm.name} began on {host} in generation {generation}, after"
            self._breach(ONCE, f"{text} {newer[-1].generation} on {newer[-1].host}")

    def judge_copies(self) -> None:
        twice = {disk: hosts for disk, hosts in self.truth.copies().items() if len(hosts) > 1}
        for disk in sorted(twice.keys() - self._lied_about):
            name = self.truth.begun[disk][-1].name
            self._breach(TWO_COPIES, f"{name} runs on {' and '.join(twice[disk])}")
        self._lied_about = set(twice)  # Once is enough.

    # A controller switches a host off.

    def _ordered(self, ordered: Ordered) -> None:
        """As it begins; what a late BMC makes of it later is judged by then."""
        by, fence, truth = ordered.by, ordered.fence, self.truth
        host, now = fence.host, self.site.clock.now
        self.switched_off.append((now, host))
        if truth.modes.get(host, HostMode.REPORT) is not HostMode.ACT:
            self._breach(POWER, f"{by.name} switches {host} off, which it is only to report")
        if truth.is_disarmed(by):
            self._breach(POWER, f"{by.name} switches {host} off while people have disarmed it")
        leader = self.site.cluster.truth.holder
        if leader != by.name:
            self._breach(POWER, f"{by.name} switches {host} off, and {leader or 'nobody'} leads")
        hosts = {one for at, one in self.switched_off if now - at < self.window_ns}
        if len(hosts) > self.most(len(self.site.hosts)):
            self._breach(POWER, f"{by.name} switches off {', '.join(sorted(hosts))}: too many")
        if not truth.is_committed(fence):
            self._breach(UNCOMMITTED, f"{by.name} switches {host} off, and the store knows nothing")
        elif truth.heard_ns[host, fence.number] >= HEARD_NS:
            self._breach(HEARD, f"{by.name} switches {host} off, whose pulses all had heard")

    def _switched(self, bmc: Bmc) -> None:
        """Whoever ordered it: to the site it is a host that is lost."""
        self.laws.lost(bmc.wired_to.name)

    # At any time.

    def _tick(self) -> None:
        for name, host in self.site.hosts.items():
            booted = self.site.boots_by_people.get(name, 0)
            if host.machine.boots != booted:
                self.site.boots_by_people[name] = host.machine.boots
                self._breach(ONLY_OFF, f"{name} was booted, and by no person")
        self.judge_copies()
        self._note_outranked()
        self._note_lapsed()
        self.site.clock.later(TICK_MS, self._tick)

    def _note_outranked(self) -> None:
        """What another host holds by now may end here: it must."""
        holders = {one.vm: one.tenure.host for one in self.truth.protections()}
        for name, host in self.site.hosts.items():
            for vm in host.machine.vms.vms.values():
                if holders.get(vm.uuid, name) != name:
                    self.laws.vm_may_end(host, vm.name)

    def _note_lapsed(self) -> None:
        """What relies on its host's lease may end there when that was not granted for so long."""
        for protection in self.truth.protections():
            name = protection.tenure.host
            granted_at = self.site.granted_at.get(name)
            if self.truth.relies(protection):
                self._asked_for.add(name)
            is_over = granted_at is not None and self.site.clock.now - granted_at > LAPSED_NS
            host = self.site.hosts[name]
            vm = host.machine.vms.by_uuid(protection.vm)
            if is_over and vm is not None and self.truth.relies(protection):
                self.laws.vm_may_end(host, vm.name)
        for name, host in self.site.hosts.items():
            if host.machine.watchdog.is_open and name not in self._asked_for:
                self._asked_for.add(name)  # Once is enough.
                self._breach(UNASKED, f"that of {name} is")

    # At the end, when all is mended and has had its time.

    def at_the_end(self) -> None:
        """Raises LawBroken."""
        self.laws.look()
        broken = list(self.not_restored())
        if broken:
            raise LawBroken("; ".join(broken))
        self.laws.at_the_end()

    def not_restored(self) -> Iterator[str]:
        for protection in self.truth.protections():
            if protection.vm not in self.truth.acted_on or not self.truth.is_promised(protection):
                continue
            runs = self.truth.runs_of(protection.vm)
            if runs != 1 and not self.is_alarmed(protection.vm):
                host = self.truth.acted_on[protection.vm][1]
                text = f"{protection.name} of {host} runs {runs} times, and no alarm says why"
                yield f"{RESTORED}: {text}"

    def is_alarmed(self, vm: str) -> bool:
        return any(one.subject.id == vm and one.text for one in self.site.receiver.open())

    def _is_of_lost_vm(self, alarm: Alarm) -> bool:
        """A VM that could not be brought back stays alarmed: that is the promise then."""
        subject = alarm.subject
        is_lost = subject.id in self.truth.acted_on and self.truth.runs_of(subject.id) != 1
        return subject.kind is SubjectKind.VM and is_lost

    def _is_of_a_lie(self, alarm: Alarm) -> bool:
        """Whose proof of death was found to be wrong, or may be, is a person's from then on."""
        host, _, boot = alarm.key.rpartition(":")[0].partition("/")
        return self.truth.is_deceived(host, boot) or self.truth.is_doubtful(host)

    def _breach(self, law: str, text: str) -> None:
        self.laws.breach(f"{law}: {text}")
