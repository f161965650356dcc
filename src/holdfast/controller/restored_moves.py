"""A VM that was moving when a backup was made, of which nobody knows whether it moved on since.

Its source's own copy is not enough: it may have been away when the move ended. Until both ends have
greeted, and neither knows of anything newer, nobody holds it, and its move is not ended.
"""

from collections.abc import Iterator

from msgspec import Struct, structs

from holdfast.controller.agents import Agents
from holdfast.controller.registry import Puts, Registry
from holdfast.facts import wire
from holdfast.facts.migrations import Migration, MigrationStep
from holdfast.facts.promises import Protection
from holdfast.facts.tenure import RESTORED, Tenure
from holdfast.policy import tenures
from holdfast.ports import clock


class _Word(Struct, frozen=True):
    """What a host said of one VM when it greeted: its copy, and the newest generation it knows."""

    boot: str
    copy: Tenure | None
    newest: int
    is_amnesiac: bool


def after_greeting(registry: Registry, agents: Agents, hello: wire.Hello) -> Puts:
    """What the store is told once the second of both ends has greeted."""
    puts: Puts = {}
    for held, migration in _waiting(registry):
        if hello.host not in (migration.source, migration.target):
            continue
        source, target = (
            _word(agents, hello, host, held.vm) for host in (migration.source, migration.target)
        )
        if source is None or target is None:
            continue
        newest = max(source.newest, target.newest)
        if source.is_amnesiac or target.is_amnesiac or newest > held.tenure.generation:
            after = tenures.in_newer_hands(held.tenure, newest)
        else:
            after = tenures.still_moving(held.tenure, source.boot, source.copy)
        puts = {**puts, f"protections/{held.vm}": structs.replace(held, tenure=after)}
    return puts


def ended(registry: Registry, held: Protection | None, host_name: str) -> Puts:
    """A person protects a VM that nobody holds: what its ends would say decides nothing any more,
    and neither is busy with it."""
    migration = registry.migration(held.vm) if held is not None else None
    if migration is None or held is None or not migration.is_open:
        return {}
    if held.tenure.boot not in ("", RESTORED):
        return {}
    over = structs.replace(
        migration,
        step=MigrationStep.UNDONE,
        reason=f"a person protected it anew on {host_name}",
        ended_utc_ms=clock.utc_ms(),
    )
    return {f"migrations/{held.vm}": over}


def _waiting(registry: Registry) -> Iterator[tuple[Protection, Migration]]:
    for vm, migration in registry.migrations().items():
        held = registry.protection(vm)
        if held is not None and tenures.waits_for_both_ends(held.tenure):
            yield held, migration


def _word(agents: Agents, hello: wire.Hello, host: str, vm: str) -> _Word | None:
    """None: it has not greeted this controller, or is away again."""
    if hello.host == host:
        copies = {tenure.vm: tenure for tenure in hello.tenures}
        boot, barred, is_amnesiac = hello.boot, hello.barred, hello.is_amnesiac
    else:
        agent = agents.by_host.get(host)
        if agent is None or agent.link is None:
            return None
        copies, boot, barred = agent.tenures, agent.boot, agent.barred
        is_amnesiac = agent.is_amnesiac
    copy = copies.get(vm)
    newest = max(barred.get(vm, 0), copy.generation if copy is not None else 0)
    return _Word(boot, copy, newest, is_amnesiac)
