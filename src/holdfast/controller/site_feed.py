"""What the store says of fences, promises and recoveries, told to the watch as it changes."""

from collections.abc import Callable, Iterator

from holdfast.controller.registry import DISARM, Registry
from holdfast.facts import site as told
from holdfast.facts.commands import Armed, Disarmed, GroupForgotten, GroupSet
from holdfast.facts.instants import after
from holdfast.facts.site import SiteFact
from holdfast.policy.site_world import SiteWorld
from holdfast.ports import clock

STORE = "the store"


class SiteFeed:
    """`tell` gives the watch a fact, `world` is what it believes. Secrets of fence devices stay in
    the store."""

    def __init__(
        self, registry: Registry, tell: Callable[[SiteFact], None], world: SiteWorld
    ) -> None:
        self._registry, self._tell, self._world = registry, tell, world
        registry.on_change.append(self._changed)
        registry.on_loaded.append(self._loaded)

    def _loaded(self) -> None:
        """The watch remembers across restarts; meanwhile things ended, or the store is another."""
        for key in list(_believed(self._world)):
            if self._registry.lacks(key):
                self._changed(key)

    def _changed(self, key: str) -> None:
        folder, _, name = key.partition("/")
        match folder:
            case "protections" | "definitions":
                self._promise(name)
            case "fences":
                self._fence(name)
            case "recoveries":
                self._recovery(name)
            case "migrations":
                self._migration(name)
            case "drains":
                self._drain(name)
            case "fencing":
                self._mode(name)
            case "groups":
                self._group(name)
            case _ if key == DISARM:
                self._disarm()

    def _promise(self, vm: str) -> None:
        held, made = self._registry.protection(vm), self._registry.definition(vm)
        if held is None:
            self._tell(told.PromiseEnded(at=clock.now(), vm=vm))
            return
        needs = made.needs if made is not None else None
        self._tell(told.PromiseSet(at=clock.now(), protection=held, needs=needs))

    def _fence(self, host: str) -> None:
        """Its age is by the wall clocks of two hosts, and so only where nothing better is known:
        what is committed now is of now, whoever's clock was set."""
        fence = self._registry.fence(host)
        if fence is not None:
            is_old = self._registry.is_reading
            age_ms = max(0, clock.utc_ms() - fence.intended_utc_ms) if is_old else 0
            self._tell(told.FenceSet(at=clock.now(), fence=fence, age_ms=age_ms))
        else:
            self._tell(told.FenceForgotten(at=clock.now(), host=host))

    def _recovery(self, vm: str) -> None:
        recovery = self._registry.recovery(vm)
        if recovery is not None:
            self._tell(told.RecoverySet(at=clock.now(), recovery=recovery))
        else:
            self._tell(told.RecoveryForgotten(at=clock.now(), vm=vm))

    def _migration(self, vm: str) -> None:
        migration = self._registry.migration(vm)
        if migration is not None:
            self._tell(told.MigrationSet(at=clock.now(), migration=migration))
        else:
            self._tell(told.MigrationForgotten(at=clock.now(), vm=vm))

    def _drain(self, host: str) -> None:
        drain = self._registry.drains().get(host)
        if drain is None:
            self._tell(told.DrainLifted(at=clock.now(), host=host))
        else:
            self._tell(told.DrainSet(at=clock.now(), drain=drain))

    def _mode(self, host: str) -> None:
        """Of one that left, and took it along, nothing is known any more."""
        if self._registry.known(host) is None and f"fencing/{host}" not in self._registry:
            return
        fencing = self._registry.fencing(host)
        devices = tuple(device.agent for device in fencing.devices)
        mode = told.HostModeSet(
            at=clock.now(),
            host=host,
            mode=fencing.mode,
            devices=devices,
            dump_wait_s=fencing.dump_wait_s,
        )
        self._tell(mode)

    def _group(self, name: str) -> None:
        group = self._registry.groups().get(name)
        if group is None:
            self._tell(GroupForgotten(at=clock.now(), name=name))
        else:
            self._tell(GroupSet(at=clock.now(), group=group))

    def _disarm(self) -> None:
        at, disarm = clock.now(), self._registry.disarm()
        if disarm is None:
            self._tell(Armed(at=at, by=STORE))
        else:
            until = after(at, disarm.left_ms(clock.utc_ms()))
            self._tell(Disarmed(at=at, disarm=disarm, until=until))


def _believed(world: SiteWorld) -> Iterator[str]:
    """The keys of all that the watch has from the store."""
    yield from (f"protections/{vm}" for vm in world.promises)
    yield from (f"fences/{host}" for host in world.fences)
    yield from (f"recoveries/{vm}" for vm in world.recoveries)
    yield from (f"migrations/{vm}" for vm in world.migrations)
    yield from (f"drains/{host}" for host in world.drains)
    yield from (f"fencing/{one.host}" for one in world.hosts.values() if one.devices)
    yield from (f"groups/{name}" for name in world.groups)
    if world.disarm is not None:
        yield DISARM
