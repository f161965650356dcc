"""A VM that runs at both ends of a move: a person must end one of both, and is told so."""

from holdfast.facts.actions import Action
from holdfast.facts.alarms import alarm_key
from holdfast.facts.migrations import Migration, MigrationStep
from holdfast.facts.subjects import vm_subject
from holdfast.facts.verdicts import Certainty, Effect, FaultRaised
from holdfast.policy import site_alarms
from holdfast.policy.site_world import SiteWorld


def judge(world: SiteWorld, migration: Migration) -> list[Action]:
    """It runs at both ends, which libvirt prevents but for a moment: a person must end one."""
    key = alarm_key(migration.vm, site_alarms.RUNS_TWICE)
    if migration.step is not MigrationStep.IN_DOUBT:
        if key not in world.wanted:
            return []
        site_alarms.unwant(world, key, f"one of both is left: {migration.reason}")
        return list(site_alarms.publish(world, [key]))
    names = [world.record(host).name for host in (migration.source, migration.target)]
    fault = FaultRaised(
        detector="policy",
        condition=site_alarms.RUNS_TWICE,
        subject=vm_subject(migration.vm, migration.name),
        effect=Effect.DEGRADED,
        certainty=Certainty.CERTAIN,
        fault_at=world.now,
        detected_at=world.now,
        reason=f"{migration.name} runs on {names[0]} and on {names[1]} after its migration",
        cause="the connection broke off in the moment in which it changed hosts",
    )
    site_alarms.want(world, key, fault)
    return list(site_alarms.publish(world, [key]))
