"""What people say of a group's template: what its VMs are made of, how many, which are to go."""

from typing import Any

from msgspec import Struct, structs

from holdfast.adapters.drivers import vm_template
from holdfast.adapters.drivers.vm_template import NotTemplate
from holdfast.controller.registry import Puts, Registry
from holdfast.facts.instances import Instance, InstanceStep, Template
from holdfast.facts.promises import LocalDisk
from holdfast.facts.tenure import Wanted
from holdfast.policy import instancing
from holdfast.ports.answers import REFUSED, USAGE, Unanswerable

MOST = 1_000
KEYS = ("template", "count", "remove")
HELP = "holdfast group set --help"


class InstanceWish(Struct, frozen=True, kw_only=True):
    """`xml` and `count`: None as it was. `remove` names VMs, which end."""

    xml: str | None = None
    images: dict[str, str] | None = None
    count: int | None = None
    remove: tuple[str, ...] = ()

    @property
    def is_any(self) -> bool:
        return self.xml is not None or self.count is not None or bool(self.remove)


def read_wish(args: dict[str, Any]) -> tuple[InstanceWish, dict[str, Any]]:
    """And what is left for the group itself. Raises Unanswerable."""
    count, xml = args.get("count"), args.get("template")
    if count is not None and (type(count) is not int or not 0 <= count <= MOST):
        text = f"count must be from 0 to {MOST}, not {count!r}"
        raise Unanswerable(text, HELP, USAGE)
    wish = InstanceWish(
        xml=str(xml) if xml is not None else None,
        images=args.get("images"),
        count=count,
        remove=tuple(str(name) for name in args.get("remove") or ()),
    )
    rest = {key: value for key, value in args.items() if key not in KEYS}
    if wish.xml is not None and wish.images and not rest.get("local_disk"):
        rest["local_disk"] = str(LocalDisk.REBUILD)  # What was made once can be made again.
    return wish, rest


def check(registry: Registry, group: str, wish: InstanceWish) -> None:
    """Before anything is changed. Raises Unanswerable."""
    _changed(registry, group, wish, "")


def apply(registry: Registry, group: str, wish: InstanceWish, by: str) -> Puts:
    """Raises Unanswerable."""
    template, leaving = _changed(registry, group, wish, by)
    puts: dict[str, Struct | None] = {f"templates/{group}": template}
    for one in leaving:
        held = registry.protection(one.vm)
        puts[f"instances/{one.vm}"] = one
        if held is not None:  # Whatever happens to its host now, nobody brings it back.
            tenure = structs.replace(
                held.tenure, wanted=Wanted.STOPPED, revision=held.tenure.revision + 1
            )
            puts[f"protections/{one.vm}"] = structs.replace(held, tenure=tenure)
    return puts


def _changed(
    registry: Registry, group: str, wish: InstanceWish, by: str
) -> tuple[Template, list[Instance]]:
    """The template as it is to be, and those that leave."""
    before = registry.templates().get(group)
    if before is None and wish.xml is None:
        text = f"group {group} has no template: its VMs are made by whoever protects them"
        raise Unanswerable(text, f"holdfast group set {group} --template FILE --count N", USAGE)
    template = Template(
        group=group,
        xml=wish.xml if wish.xml is not None else before.xml if before else "",
        count=wish.count if wish.count is not None else before.count if before else 0,
        images=_images(wish, before),
        next_number=before.next_number if before else 1,
        set_by=by,
    )
    _try(template)
    here = registry.instances(group)
    alive = [one for one in here if one.step is not InstanceStep.LEAVING]
    leaving = [_named(name, group, alive) for name in dict.fromkeys(wish.remove)]
    surplus = -instancing.missing(template, here)
    if len(leaving) < surplus:
        newest = " ".join(f"--remove {one.name}" for one in alive[::-1][:surplus])
        text = f"group {group} has {len(alive)} VMs, and {template.count} are promised now"
        hint = f"holdfast group set {group} --count {template.count} {newest}"
        raise Unanswerable(f"{text}: say which of them end (the newest, say)", hint, REFUSED)
    reason = f"{by} removed it"
    return template, [
        structs.replace(one, step=InstanceStep.LEAVING, reason=reason) for one in leaving
    ]


def _images(wish: InstanceWish, before: Template | None) -> dict[str, str]:
    if wish.images is not None:
        return wish.images
    return before.images if before else {}


def _try(template: Template) -> None:
    """Raises Unanswerable for what no VM can be made of."""
    try:
        vm_template.make(template.xml, template.images, "any", "any")
    except NotTemplate as problem:
        text = f"no VMs can be made of this template: {problem}"
        raise Unanswerable(text, HELP, USAGE) from None


def _named(name: str, group: str, alive: list[Instance]) -> Instance:
    for one in alive:
        if name in (one.name, one.vm):
            return one
    known = ", ".join(one.name for one in alive) or "none"
    raise Unanswerable(f"group {group} made no VM {name}", f"it made: {known}", USAGE)
