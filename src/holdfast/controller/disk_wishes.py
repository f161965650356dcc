"""What people wish for a VM's disks on local storage, as they say it when they protect it."""

from typing import Any

from msgspec import Struct, structs

from holdfast.facts.promises import LocalDisk, Protection, images_problem
from holdfast.ports.answers import USAGE, Unanswerable

OF_GROUP = "group"
HELP = "holdfast vm protect --help"


class DiskWish(Struct, frozen=True, kw_only=True):
    """None: as it was."""

    local_disk: LocalDisk | None = None
    images: dict[str, str] | None = None
    is_of_group: bool = False  # Whatever was said of this VM alone counts no more.

    def applied(self, protection: Protection) -> Protection:
        if self.is_of_group:
            return structs.replace(protection, local_disk=None, images=self.images or {})
        wished = self.local_disk or protection.local_disk
        images = protection.images if self.images is None else self.images
        return structs.replace(protection, local_disk=wished, images=images)


NO_WISH = DiskWish()


def read_wish(args: dict[str, Any]) -> DiskWish:
    """Raises Unanswerable."""
    word, images = args.get("local_disk") or "", args.get("images") or None
    if problem := images_problem(images or {}):
        raise Unanswerable(problem, HELP, USAGE)
    if word == OF_GROUP:
        return DiskWish(images=images, is_of_group=True)
    try:
        return DiskWish(local_disk=LocalDisk(word) if word else None, images=images)
    except ValueError:
        known = ", ".join([*map(str, LocalDisk), OF_GROUP])
        raise Unanswerable(f"a local disk is one of {known}, not {word!r}", HELP, USAGE) from None
