"""What is on a host alone is never moved: it is made anew elsewhere, kept in place, or alarmed.

Pure words about one VM: what it needs, what was promised, and its group.
"""

from holdfast.facts.definitions import DiskKind, RebuiltDisk, VmDisk, VmNeeds
from holdfast.facts.promises import Group, LocalDisk, Protection

TIED = (DiskKind.REMAKEABLE, DiskKind.LOCAL)
KEPT = "it is kept in place, and waits for its host"
ALARMED = "it is only alarmed, as its policy says: what becomes of it is yours to decide"
NO_IMAGE = "no image is named to rebuild it from"


def wish(protection: Protection, group: Group) -> LocalDisk:
    return protection.local_disk or group.local_disk


def obstacle(needs: VmNeeds, protection: Protection, group: Group) -> str:
    """Why no other host could start it, or empty; by its policy for local disks."""
    if not needs.obstacle or not any(one.kind in TIED for one in needs.disks):
        return needs.obstacle
    match wish(protection, group):
        case LocalDisk.REBUILD:
            missing = _missing(needs, protection, group)
            return f"{missing[0].obstacle}, and {NO_IMAGE}" if missing else needs.rest
        case LocalDisk.KEEP:
            return f"{needs.obstacle}: {KEPT}"
        case LocalDisk.ALARM:
            return f"{needs.obstacle}: {ALARMED}"


def helps(needs: VmNeeds, protection: Protection, group: Group) -> str:
    """What a person can do about a local disk, or empty where that is not what is in the way."""
    is_local = any(one.kind is DiskKind.REMAKEABLE for one in needs.disks)
    if not is_local or needs.rest:
        return ""
    missing = _missing(needs, protection, group)
    images = "".join(f" --image {one.name}=FILE" for one in missing)
    command = f"holdfast vm protect {protection.name} --local-disk rebuild{images}"
    return f"if its data may be lost with its host: {command}"


def words(needs: VmNeeds, protection: Protection, group: Group) -> str:
    """What a start elsewhere would cost it, or empty."""
    made = disks(needs, protection, group)
    if not made or obstacle(needs, protection, group):
        return ""
    said = ", ".join(f"{one.name} from {one.image}" for one in made)
    return f"rebuilt: {said}; what is on it now is lost with its host"


def lost_words(made: tuple[RebuiltDisk, ...]) -> str:
    """What a start elsewhere has cost it."""
    names = " and ".join(one.name for one in made)
    return f"with {names} made anew from its image: what was on it is lost"


def disks(needs: VmNeeds, protection: Protection, group: Group) -> tuple[RebuiltDisk, ...]:
    """What another host makes anew before it starts the VM. Nothing, if all of it is shared."""
    if wish(protection, group) is not LocalDisk.REBUILD or not needs.obstacle:
        return ()
    return tuple(
        RebuiltDisk(
            name=one.name,
            path=one.path,
            format=one.format,
            size_bytes=one.size_bytes,
            image=_image(one, protection, group),
        )
        for one in _remakeable(needs)
    )


def _remakeable(needs: VmNeeds) -> list[VmDisk]:
    return [one for one in needs.disks if one.kind is DiskKind.REMAKEABLE]


def _image(disk: VmDisk, protection: Protection, group: Group) -> str:
    own, common = protection.images.get(disk.name), group.images.get(disk.name)
    return own or common or disk.image


def _missing(needs: VmNeeds, protection: Protection, group: Group) -> list[VmDisk]:
    return [one for one in _remakeable(needs) if not _image(one, protection, group)]
