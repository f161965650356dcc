"""A small site whose VMs move: as fence_scene.py, and the ends say what the test lets them."""

from msgspec import structs

from holdfast.facts import outcomes as came
from holdfast.facts import site as told
from holdfast.facts.actions import (
    Action,
    LookAtEnds,
    Migrate,
    PutMigration,
    TellEnds,
)
from holdfast.facts.definitions import HostSize
from holdfast.facts.migrations import Drain, End, Migration, MigrationStep, Prediction
from holdfast.facts.tenure import TenureState
from holdfast.policy import site_migrations
from tests.policy.fence_scene import ACTS, SIZE, FenceScene

MOVING = (PutMigration, Migrate, LookAtEnds, TellEnds)
ROOMY = HostSize(memory_mib=64_000, cpus=4, bridges=("br0",))


class MigrationScene(FenceScene):
    """Each VM runs where it is promised. `ends` are what the ends say of a VM when asked,
    or of its move to a host: `web1 to h4`."""

    can_move = True
    kinds = (*ACTS, *MOVING)

    def __init__(self, *, hosts: int = 4) -> None:
        self.ends: dict[str, tuple[End, End]] = {}
        self.refuses: dict[str, str] = {}
        self._waiting: list[Action] = []
        super().__init__(hosts=hosts)
        self.size("h3", ROOMY)
        for number in range(1, hosts + 1):
            self.runs(f"h{number}", f"web{number}")
        self.did.clear()

    def act(self, action: Action) -> None:
        """One after the other, as the world hears of what came of each: never within another."""
        self._waiting.append(action)
        if len(self._waiting) > 1:
            return
        while self._waiting:
            self._carry_out(self._waiting[0])
            self._waiting.pop(0)

    def _carry_out(self, action: Action) -> None:
        match action:
            case PutMigration():
                one = action.migration
                self.note(action, f"put {one.step} of {one.vm} to {one.target}")
                if self.is_stored:
                    self.migration_set(one)
            case Migrate():
                one = action.migration
                self.note(action, f"move {one.vm} from {one.source} to {one.target}")
                self.give(
                    came.MoveBegun(
                        incident="",
                        at=self.now,
                        vm=one.vm,
                        number=one.number,
                        refusal=self.refuses.get(one.vm, ""),
                    )
                )
            case LookAtEnds():
                self._look(action)
            case TellEnds():
                one = action.migration
                self.note(action, f"tell {one.source} and {one.target} that {one.vm} is {one.step}")
            case _:
                super().act(action)

    def _look(self, asked: LookAtEnds) -> None:
        """Nothing is said by one that is dead, and of the target only when the source is done."""
        one = asked.migration
        said = self.ends.get(one.vm, (End.MOVING, End.UNKNOWN))
        source, target = self.ends.get(f"{one.vm} to {one.target}", said)
        self.give(
            came.EndsLooked(
                incident="",
                at=self.now,
                vm=one.vm,
                number=one.number,
                source=End.DEAD if one.source in asked.dead else source,
                target=End.DEAD if one.target in asked.dead else target,
                pause_ms=80,
            )
        )

    def migration_set(self, one: Migration) -> None:
        """With the tenure, as in one transaction."""
        tenure = self.tenures[one.vm]
        changed = structs.replace(tenure, revision=tenure.revision + 1)
        match one.step:
            case MigrationStep.BEGUN:
                changed = structs.replace(
                    tenure, state=TenureState.MIGRATING, revision=one.revision
                )
            case MigrationStep.DONE:
                changed = structs.replace(
                    changed,
                    state=TenureState.HELD,
                    host=one.target,
                    boot=one.target_boot,
                    generation=tenure.generation + 1,
                )
            case MigrationStep.UNDONE if not one.elsewhere:
                changed = structs.replace(changed, state=TenureState.HELD)
            case MigrationStep.IN_DOUBT:
                changed = tenure
            case MigrationStep.UNDONE:  # A third host has it: nobody holds it yet.
                pass
        self.tenures[one.vm] = changed
        self.give(told.MigrationSet(at=self.now, migration=one))
        self.hold(one.vm, changed, self.world.promises[one.vm].needs)

    def begin(self, vm: str, to: str = "") -> str:
        """A person wants it moved. Why it is not, or empty."""
        one, why = site_migrations.begin(self.world, vm, to, "ann", 300)
        if one is not None:
            self.act(PutMigration(migration=one))
        return why

    def say(self, vm: str, source: End, target: End) -> None:
        """From now on the ends say so; and the next look is waited for."""
        self.ends[vm] = source, target
        self.wait(600)

    def drain(self, host: str) -> None:
        self.give(told.DrainSet(at=self.now, drain=Drain(host=host, by="ann", limit_s=300)))

    def predict(self, host: str, reason: str = "its memory fails") -> None:
        one = Prediction(host=host, name=host, reason=reason, by="ann")
        self.give(told.PredictionSet(at=self.now, prediction=one))

    def unpredict(self, host: str) -> None:
        self.give(told.PredictionLifted(at=self.now, host=host))

    def undrain(self, host: str) -> None:
        self.give(told.DrainLifted(at=self.now, host=host))

    def holder(self, vm: str) -> str:
        """Who holds it, how: `h1 held (1)`."""
        tenure = self.tenures[vm]
        return f"{tenure.host} {tenure.state} ({tenure.generation})"


__all__ = ["ROOMY", "SIZE", "MigrationScene"]
