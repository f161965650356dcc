"""A site on which Holdfast acts: hosts with BMCs, guests on shared disks, all by its commands."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from holdfast.facts.fencing import FenceDevice
from holdfast.lab.bmc.board import Bmc
from holdfast.lab.commands import LabError
from holdfast.lab.drills.copies import CopyWatch, LivingVms
from holdfast.lab.drills.site_stage import SiteStage
from holdfast.lab.drills.stand_ins import LIGHT_MIB, stand_ins
from holdfast.lab.guests import Guest
from holdfast.lab.hosts import Host
from holdfast.lab.site import define_shared, fence_set, holdfast
from holdfast.policy.guarantee import NOT_KNOWN

CROWD_MIB = 1_024
COMMAND_LIMIT_S = 60.0
KNOWN_LIMIT_S = 60.0
POLL_S = 0.05
PREFIX = "elsewhere"


@dataclass
class ActingSite:
    """What a drill needs to lose a host on purpose. `bmcs` are by the host's name."""

    site: SiteStage
    bystanders: LivingVms
    bmcs: dict[str, Bmc] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)  # Names of hosts that the drill itself broke.

    @property
    def stopped(self) -> int:
        """How many VMs of hosts that nobody broke have ended."""
        return self.bystanders.count_ended(self.broken)

    def fence_of(self, host: Host) -> dict[str, Any]:
        """What the leader says of the newest fence of a host; empty if there was none."""
        told = self.site.ask(self.site.leader(), "host", {"host": self.site.id_of(host)})
        return dict(told["host"]["fence"] or {})

    def wait_step(self, host: Host, step: str, after: int, limit_s: float) -> bool:
        """Until the fence of the host that came after this number has come so far."""

        def is_there() -> bool:
            with suppress(LabError):
                fence = self.fence_of(host)
                return bool(fence.get("number", 0) > after and fence["step"] == step)
            return False

        return wait_for(is_there, limit_s)

    def number_of(self, host: Host) -> int:
        """How often it was fenced."""
        return int(self.fence_of(host).get("number", 0))

    def command(self, *words: str, stdin: str | None = None) -> str:
        """Holdfast's own command on the leader's host; raises LabError with what it said."""
        host = self.site.leader()
        done = host.run(holdfast(*words), timeout_s=COMMAND_LIMIT_S, stdin_text=stdin)
        return done.stdout

    def give_bmc(self, host: Host) -> Bmc:
        """Real IPMI and Redfish, which outlive the host."""
        bmc = self.bmcs.get(host.name)
        if bmc is None:
            bmc = self.bmcs[host.name] = Bmc(host)
            bmc.begin()
        return bmc

    def set_ladder(self, host: Host, *devices: FenceDevice) -> None:
        """In the order given, instead of what was."""
        with suppress(LabError):
            self.command("fence", "clear", host.name)
        for place, device in enumerate(devices, 1):
            words, secrets = fence_set(host, device, place)
            self.command(*words, stdin=secrets)

    def act_on(self, host: Host) -> None:
        """From now on Holdfast fences it."""
        self.command("host", "mode", host.name, "act")

    def only_report(self, host: Host) -> None:
        self.command("host", "mode", host.name, "report")

    @contextmanager
    def guests(
        self,
        host: Host,
        count: int,
        memory_mib: int = 128,
        *,
        but: str | None = "",
        group: str = "",
    ) -> Iterator[list[Guest]]:
        """So many on shared disks, answering and protected (in this group), of which the site says
        that they would start elsewhere, `but` for that; None: or that a brake would hinder it, as
        after the fence of another host. Gone at the end."""
        into = ("--group", group) if group else ()
        made: list[Guest] = []
        try:
            # Each is new: a host remembers whose VMs it held, and that another host got them.
            names = [f"{PREFIX}-{number}-{token_hex(3)}" for number in range(1, count + 1)]
            made += [self._make_guest(host, name, memory_mib) for name in names]
            for guest in made:
                guest.start()
            for guest in made:
                guest.wait_answer()
                self.command("vm", "protect", guest.name, "--answers", "agent", *into)
            self._wait_known(made, but)
            yield made
        finally:
            self._take_away(made)

    def where(self, guest: Guest) -> list[Host]:
        """Hosts whose libvirt says that it runs there."""
        found = []
        for host in self.site.hosts:
            if host.is_powered_on:
                with suppress(LabError):
                    if Guest(host, guest.plan).state() == "running":
                        found.append(host)
        return found

    def _make_guest(self, host: Host, name: str, memory_mib: int) -> Guest:
        return define_shared(host, name, memory_mib)

    def _wait_known(self, guests: Sequence[Guest], but: str | None) -> None:
        """Until the site has reckoned that each of them would start elsewhere, `but` for that."""

        def is_known(row: Mapping[str, Any] | None) -> bool:
            if row is None or row["starts_elsewhere"] is None:
                return False
            why = str(row["elsewhere"])
            return why == but if but is not None else why != NOT_KNOWN

        def missing() -> list[str]:
            told = json.loads(self.command("vm", "list", "--json"))["vms"]
            rows = {row["vm"]: row for row in told if row["is_protected"]}
            found = {guest.name: rows.get(guest.plan.uuid) for guest in guests}
            return [
                f"{name} ({row['elsewhere'] if row else 'not protected'})"
                for name, row in found.items()
                if not is_known(row)
            ]

        self.site.wait(
            lambda: not missing(),
            lambda: f"not ready to start elsewhere: {', '.join(missing())}",
            KNOWN_LIMIT_S,
        )

    def _take_away(self, guests: Sequence[Guest]) -> None:
        for guest in guests:
            with suppress(LabError):
                self.command("vm", "unprotect", guest.name)
            for host in self.site.hosts:
                if host.is_powered_on:
                    with suppress(LabError):
                        Guest(host, guest.plan).end()


@contextmanager
def acting_site(
    site: SiteStage, hosts: Sequence[Host], crowded: Sequence[Host] = ()
) -> Iterator[ActingSite]:
    """These hosts have BMCs, and are acted on while the block lasts; each of the others runs a VM
    that must live on. On those that are `crowded` it is so big that VMs start elsewhere first."""
    with ExitStack() as exits:
        others = [host for host in site.hosts if host not in hosts]
        for host in others:
            mib = CROWD_MIB if host in crowded else LIGHT_MIB
            [vm] = exits.enter_context(stand_ins(host, 1, f"bystander-{host.name}", mib))
            site.wait_vms(host, [vm.uuid])
        acting = ActingSite(site, LivingVms.on(others))
        acting.broken |= {host.name for host in hosts}
        for host in hosts:
            bmc = acting.give_bmc(host)
            exits.callback(bmc.power_cut)
            acting.set_ladder(host, bmc.ipmi)
            acting.act_on(host)
            exits.callback(_report_only, acting, host)
        yield acting


def _report_only(acting: ActingSite, host: Host) -> None:
    with suppress(LabError):
        acting.only_report(host)


def watch_copies(guests: Sequence[Guest]) -> CopyWatch:
    return CopyWatch(guest.plan.uuid for guest in guests)


def wait_for(is_so: Callable[[], bool], limit_s: float) -> bool:
    """Whether it came to be in time."""
    deadline = time.monotonic() + limit_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
