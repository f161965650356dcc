"""An alarm on a group of which fewer VMs serve than its template promises, with the reason."""

from typing import Any

from holdfast.controller.raising import Wanted, set_alarms
from holdfast.controller.registry import Registry
from holdfast.facts.alarms import alarm_key
from holdfast.facts.instances import Template
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.subjects import Subject, SubjectKind
from holdfast.policy import instancing
from holdfast.policy.site_world import SiteWorld
from holdfast.ports.vim import Vim

BROKEN = "promise-broken"
SHORT_AFTER_MS = 30_000  # A VM that starts is missed for shorter than that.
UNKNOWN = "the others are being started, or their hosts are lost"


class InstanceAlarms:
    """`why` says of each group what keeps it from its promise."""

    def __init__(
        self,
        registry: Registry,
        world: SiteWorld,
        vim: Vim,
        why: dict[str, str],
        me: str,
        boot: str,
    ) -> None:
        self._registry, self._world, self._vim = registry, world, vim
        self._why, self._me, self._boot = why, me, boot
        self._short_since: dict[str, Instant] = {}
        self._told: set[str] = set()

    def in_service(self, group: str) -> int:
        return instancing.in_service(self._world, self._registry.instances(group))

    async def settle(self, now: Instant) -> None:
        """Raises VimAway, VimRefused."""
        templates = self._registry.templates()
        due = (self._wanted(one, now) for one in templates.values())
        wanted = [one for one in due if one is not None]
        gone = self._told - templates.keys()
        wanted += [self._alarm(group, "") for group in sorted(gone)]
        self._told = set(templates)
        if wanted:
            await set_alarms(self._vim, wanted, now)

    def _wanted(self, template: Template, now: Instant) -> Wanted | None:
        """None while it is not due: what another leader has told stands."""
        group, served = template.group, self.in_service(template.group)
        if served >= template.count:
            self._short_since.pop(group, None)
            return self._alarm(group, "")
        since = self._short_since.setdefault(group, now)
        is_due = now - since >= SHORT_AFTER_MS * NS_PER_MS
        why = self._why.get(group) or UNKNOWN
        text = f"group {group}: {served} of {template.count} promised VMs in service: {why}"
        return self._alarm(group, text) if is_due else None

    def _alarm(self, group: str, text: str) -> Wanted:
        return Wanted(
            key=alarm_key(f"group/{group}", BROKEN),
            condition=BROKEN,
            subject=Subject(kind=SubjectKind.POOL, id=f"group/{group}", name=group),
            host=self._me,
            boot=self._boot,
            text=text,
            repair=f"What keeps each of its VMs: holdfast group show {group}",
            is_followed=True,
        )

    def shown(self, template: Template) -> dict[str, Any]:
        return {
            "count": template.count,
            "in_service": self.in_service(template.group),
            "why": self._why.get(template.group, ""),
            "images": template.images,
            "made": [
                {"vm": one.vm, "name": one.name, "step": str(one.step), "reason": one.reason}
                for one in self._registry.instances(template.group)
            ],
        }
