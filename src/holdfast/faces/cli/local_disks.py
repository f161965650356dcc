"""What people say of disks that are on one host alone: the options, for a VM and for a group."""

from collections.abc import Callable
from typing import Any

import click

from holdfast.faces.cli.exits import Exit, Failure
from holdfast.facts.promises import LocalDisk, images_problem

WORDS = [str(word) for word in LocalDisk]
Decorated = Callable[..., Any]


def local_disk_option(*more: str) -> Callable[[Decorated], Decorated]:
    return click.option(
        "--local-disk",
        type=click.Choice([*WORDS, *more]),
        help="Of disks on local storage, when the host dies: keep (wait for the host), rebuild"
        " (start elsewhere with new disks; the data is lost), or alarm (a person decides).",
    )


image_option = click.option(
    "--image",
    "images",
    multiple=True,
    metavar="DISK=FILE",
    help="To rebuild a disk from, on every host: vda=/images/base.qcow2. Once for each disk; by"
    " default the shared image that the disk rests on.",
)


def read_images(given: tuple[str, ...]) -> dict[str, str]:
    """Raises Failure."""
    pairs = [text.partition("=") for text in given]
    images = {disk.strip(): file.strip() for disk, _, file in pairs}
    if problem := images_problem(images):
        raise Failure(problem, "use --image vda=/images/base.qcow2", Exit.USAGE)
    return images
