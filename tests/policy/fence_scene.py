"""A small site that acts: hosts with power controls and room, VMs that are promised, a store.

The store takes what is asked of it, at once, and tells it back, as the real one would.
"""

from msgspec import structs

from holdfast.facts import outcomes as came
from holdfast.facts import site as told
from holdfast.facts.actions import (
    Act,
    Action,
    PutFence,
    PutRecovery,
    RestartElsewhere,
    SwitchOff,
    TakeBack,
)
from holdfast.facts.commands import Armed, Disarmed
from holdfast.facts.definitions import HostSize, VmNeeds
from holdfast.facts.fencing import Fence, HostMode
from holdfast.facts.instants import Instant
from holdfast.facts.promises import Answer, Disarm, Protection
from holdfast.facts.recoveries import Recovery, RecoveryStep
from holdfast.facts.site import HostVm, SiteFact
from holdfast.facts.tenure import DeathProof, ProofKind, Tenure, TenureState, Wanted
from tests.policy.site_scene import SiteScene, at, boot_of, short

ACTS = (PutFence, SwitchOff, PutRecovery, RestartElsewhere, TakeBack)
SIZE = HostSize(memory_mib=4_000, cpus=4, bridges=("br0",))
NEEDS = VmNeeds(memory_mib=1_000, vcpus=1, bridges=("br0",))


class FenceScene(SiteScene):
    """`did` are the acts since the scene began, as short lines; `is_stored`: the store answers."""

    can_move = False
    kinds: tuple[type[Act], ...] = ACTS

    def __init__(self, *, hosts: int = 5, term: int = 1) -> None:
        self.did: list[str] = []
        self.acts: list[Action] = []
        self.is_stored = True
        self.tenures: dict[str, Tenure] = {}
        self.groups: dict[str, str] = {}
        super().__init__(hosts=hosts, leads=False)
        self.lead(term)
        for number in range(1, hosts + 1):
            host = f"h{number}"
            self.size(host)
            self.mode(host, HostMode.ACT)
            self.promise(f"web{number}", host)

    def give(self, fact: SiteFact) -> list[str]:
        actions = self.lawful.step(fact)
        acts = [action for action in actions if isinstance(action, self.kinds)]
        for action in acts:
            self.act(action)
        return list(short([action for action in actions if action not in acts]))

    def act(self, action: Action) -> None:
        match action:
            case PutFence():
                fence = action.fence
                self.note(action, f"put {fence.step} of {fence.host} ({fence.number})")
                if self.is_stored:
                    self.fence_set(fence)
            case SwitchOff():
                self.note(action, f"switch off {action.fence.host}")
            case PutRecovery():
                one = action.recovery
                self.note(action, f"put {one.step} of {one.vm} on {one.target} ({one.generation})")
                if self.is_stored:
                    self.recovery_set(one)
            case RestartElsewhere():
                one = action.recovery
                self.note(action, f"start {one.vm} on {one.target} ({one.generation})")
            case TakeBack():
                self.note(action, f"take back {action.recovery.vm} from {action.recovery.target}")
            case _:
                pass

    def note(self, action: Action, line: str) -> None:
        self.acts.append(action)
        self.did.append(line)

    # What is set.

    def size(self, host: str, size: HostSize = SIZE, *, can_start: bool = True) -> None:
        self.give(
            told.HostSized(
                at=self.now, host=host, size=size, can_start=can_start, can_move=self.can_move
            )
        )

    def mode(self, host: str, mode: HostMode, *devices: str, dump_wait_s: int = 0) -> None:
        self.give(
            told.HostModeSet(
                at=self.now,
                host=host,
                mode=mode,
                devices=devices or ("fence_ipmilan",),
                dump_wait_s=dump_wait_s,
            )
        )

    def promise(
        self,
        vm: str,
        host: str,
        needs: VmNeeds | None = NEEDS,
        boot: int = 1,
        group: str = "default",
    ) -> None:
        self.groups[vm] = group
        tenure = self.tenures.get(vm) or Tenure(
            vm=vm,
            generation=1,
            host=host,
            boot=boot_of(host, boot),
            state=TenureState.HELD,
            wanted=Wanted.RUNNING,
        )
        self.hold(vm, tenure, needs)

    def hold(self, vm: str, tenure: Tenure, needs: VmNeeds | None = NEEDS) -> None:
        self.tenures[vm] = tenure
        protection = Protection(
            vm=vm, name=vm, group=self.groups[vm], answer=Answer(), tenure=tenure
        )
        self.give(told.PromiseSet(at=self.now, protection=protection, needs=needs))

    def fence_set(self, fence: Fence, age_ms: int = 0, *, is_read: bool = False) -> None:
        self.give(told.FenceSet(at=self.now, fence=fence, age_ms=age_ms, is_read=is_read))

    def recovery_set(self, one: Recovery) -> None:
        """With the tenure, as in one transaction."""
        tenure = self.tenures[one.vm]
        is_running = one.step in (RecoveryStep.STARTED, RecoveryStep.ANSWERED)
        self.tenures[one.vm] = structs.replace(
            tenure,
            generation=one.generation,
            host=one.target,
            boot=one.target_boot,
            state=TenureState.HELD if is_running else TenureState.RECOVERING,
        )
        needs = self.world.promises[one.vm].needs
        self.hold(one.vm, self.tenures[one.vm], needs)
        self.give(told.RecoverySet(at=self.now, recovery=one))

    def disarm(self) -> None:
        disarm = Disarm(owner="ann", reason="works", since_utc_ms=0, until_utc_ms=10**9)
        self.give(Disarmed(at=self.now, disarm=disarm, until=at(self.ms + 10**8)))

    def arm(self) -> None:
        self.give(Armed(at=self.now, by="ann"))

    # What comes of it.

    @property
    def now(self) -> Instant:
        return at(self.ms)

    def off(self, host: str, kind: ProofKind = ProofKind.POWER) -> None:
        """Its power is read back off."""
        fence = self.world.fences[host]
        proof = DeathProof(
            kind=kind,
            host=host,
            boot=fence.boot,
            earlier=fence.earlier,
            shown=("its power is off",),
        )
        self.give(
            came.SwitchedOff(
                incident=fence.incident,
                at=self.now,
                host=host,
                number=fence.number,
                proof=proof,
            )
        )

    def not_off(self, host: str, reason: str = "it does not answer") -> None:
        fence = self.world.fences[host]
        self.give(
            came.NotSwitchedOff(
                incident=fence.incident,
                at=self.now,
                host=host,
                number=fence.number,
                reason=reason,
            )
        )

    def taken(self, vm: str) -> None:
        one = self.world.recoveries[vm]
        self.give(
            came.StartTaken(incident=one.incident, at=self.now, vm=vm, generation=one.generation)
        )

    def given_back(self, vm: str, reason: str = "its disk is not there") -> None:
        one = self.world.recoveries[vm]
        self.give(
            came.GivenBack(
                incident=one.incident,
                at=self.now,
                vm=vm,
                generation=one.generation,
                reason=reason,
            )
        )

    def silent(self, vm: str) -> None:
        one = self.world.recoveries[vm]
        self.give(
            came.TargetSilent(
                incident=one.incident,
                at=self.now,
                vm=vm,
                generation=one.generation,
                reason="no answer",
            )
        )

    def runs(self, host: str, *vms: str, boot: int = 1, is_serving: bool = True) -> None:
        """All VMs that run there now, of the generation that the store knows."""
        found = tuple(
            HostVm(
                vm=vm,
                name=vm,
                memory_mib=1_000,
                generation=self.tenures[vm].generation,
                is_serving=is_serving,
            )
            for vm in vms
        )
        self.give(told.VmsSet(at=self.now, host=host, boot=boot_of(host, boot), vms=found))

    def gave_up(self, host: str, *vms: str) -> None:
        """Its agent could not start them, and does nothing more."""
        record = self.world.hosts[host]
        given_up = tuple(
            HostVm(vm=vm, name=vm, generation=self.tenures[vm].generation) for vm in vms
        )
        self.give(
            told.VmsSet(at=self.now, host=host, boot=record.boot, vms=record.vms, given_up=given_up)
        )

    def lose(self, host: str) -> None:
        """It loses power, and is proven dead."""
        self.wrong(host, "host-lost")
        self.wait(3_100)
        self.off(host)
        self.wait(600)

    @property
    def step(self) -> str:
        """What the newest incident says of itself."""
        found = list(self.world.incidents.values())
        return found[-1].step if found else ""

    @property
    def open_alarms(self) -> dict[str, str]:
        """Condition and subject, and the text."""
        return {
            f"{alarm.condition} {alarm.subject.name}": alarm.text
            for key, alarm in self.world.reported.items()
            if self.world.is_open(key)
        }
