"""When the policy of a site must next be woken."""

from holdfast.facts.instants import Instant
from holdfast.policy import site_plans
from holdfast.policy.site_world import SiteWorld


def first_due(world: SiteWorld) -> Instant | None:
    waiting = [r for r in world.hosts.values() if r.ask_at is not None or r.page_at is not None]
    waiting_for = (site_plans.due(record) for record in world.hosts.values())
    dues: list[Instant | None] = [
        *waiting_for,
        *world.held.values(),
        *(r.ask_at for r in waiting),
        *(r.page_at for r in waiting),
    ]
    dues += [world.take_over_at, world.acts_at]
    return min((due for due in dues if due is not None), default=None)
