"""A virtual switch in memory: it loses what a test takes from it, and can be mended."""

from collections.abc import Awaitable, Callable, Iterable

from holdfast.ports.switch import NotMended


class SwitchInMemory:
    """See ports.switch.Switch. `obstacle` says why nothing can be mended; empty: it can."""

    def __init__(self, flows: dict[str, int], ports: set[str], links: set[str]) -> None:
        self.flows, self.ports, self.links_up = dict(flows), set(ports), set(links)
        self._links = set(links)
        self._kept_flows: dict[str, int] = {}
        self._kept_ports: set[str] = set()
        self.obstacle = ""
        self.is_running = True

    async def record(self) -> None:
        """What it lost stays on record."""
        for bridge, flows in self.flows.items():
            if flows * 2 >= self._kept_flows.get(bridge, 0):
                self._kept_flows[bridge] = flows
        self._kept_ports |= self.ports

    @property
    def has_record(self) -> bool:
        return any(self._kept_flows.values())

    async def restart(self, begin: Callable[[], Awaitable[object]]) -> str:
        """It comes back with what is on record."""
        self._see_obstacle()
        await begin()
        self.is_running = True
        self.flows |= self._kept_flows
        return "it was restarted, and has its flows back"

    async def restore_flows(self, bridge: str) -> str:
        """Only those that are on record."""
        self._see_obstacle()
        if bridge not in self._kept_flows:
            raise NotMended(f"no flows of {bridge} are on record")
        self.flows[bridge] = max(self.flows.get(bridge, 0), self._kept_flows[bridge])
        return f"{bridge} has its flows back"

    async def missing_ports(self, bridge: str) -> tuple[str, ...]:
        """All of its ports are of its only bridge."""
        return tuple(sorted(self._kept_ports - self.ports)) if bridge in self.flows else ()

    async def rebuild_port(self, interface: str) -> str:
        """Only one that is on record."""
        self._see_obstacle()
        if interface not in self._kept_ports:
            raise NotMended(f"no port with {interface} is on record")
        self.ports.add(interface)
        return f"port {interface} was made anew"

    def switched_off(self, devices: Iterable[str]) -> tuple[str, ...]:
        """Each link that is not up."""
        return tuple(one for one in devices if one in self._links - self.links_up)

    async def raise_link(self, device: str) -> str:
        """Only one that there is."""
        self._see_obstacle()
        if device not in self._links:
            raise NotMended(f"there is no {device}")
        self.links_up.add(device)
        return f"{device} was switched on"

    async def clean_up(self) -> None:
        """Nothing is ever half done in memory."""

    def _see_obstacle(self) -> None:
        if self.obstacle:
            raise NotMended(self.obstacle)
