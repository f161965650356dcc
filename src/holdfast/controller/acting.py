"""Acting on hosts put together: the store tells the watch, and what follows is carried out."""

from holdfast.controller.agents import Agents
from holdfast.controller.greeting import Greeter
from holdfast.controller.leadership import Leadership
from holdfast.controller.recovering import Recoverer
from holdfast.controller.registry import Registry
from holdfast.controller.site_feed import SiteFeed
from holdfast.controller.watch import Watch
from holdfast.facts.fencing import FenceStep
from holdfast.ports.fencer import Fencer

FENCES = "fences/"


def make_recoverer(
    *,
    registry: Registry,
    agents: Agents,
    watch: Watch,
    fencer: Fencer,
    leadership: Leadership,
    greeter: Greeter,
) -> Recoverer:
    """The watch hands it what it decides, and hears what came of it."""
    recoverer = Recoverer(
        registry=registry,
        agents=agents,
        fencer=fencer,
        term=lambda: leadership.term,
        consume=watch.take,
        fault_age_ms=watch.fault_age_ms,
    )
    watch.recover = recoverer.carry_out
    SiteFeed(registry, watch.take)

    def fence_changed(key: str) -> None:
        """While its power was to go off, a host was granted nothing."""
        host = key.removeprefix(FENCES)
        fence = registry.fence(host) if key.startswith(FENCES) else None
        if fence is not None and fence.step is not FenceStep.INTENDED:
            greeter.grant_anew(host)

    registry.on_change.append(fence_changed)
    return recoverer
