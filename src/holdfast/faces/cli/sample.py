"""The sample VM: small, protected, and there to be killed."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from uuid import uuid4

from holdfast.faces.cli.asking import CONTROLLER, ask_program, convert
from holdfast.faces.cli.calling import Away
from holdfast.faces.cli.choosing import rows_of
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.host_libvirt import virsh
from holdfast.faces.cli.settings import Site
from holdfast.facts.settings import Settings
from holdfast.facts.wire import VmSummary

NAME = "holdfast-sample"
SEEN_LIMIT_S = 30.0
# A libvirt that has just begun first tries what each QEMU on this machine can do.
VIRSH_LIMIT_S = 180.0
POLL_S = 0.1


def make_sample(site: Site, say: Callable[[str], None]) -> None:
    """Define it, start it, protect it. Raises Failure."""
    # Late: only a host without VMs builds an image.
    from holdfast.lab.acceleration import choose_acceleration
    from holdfast.lab.commands import LabError  # Late: likewise.
    from holdfast.lab.guest_image import build_guest_image  # Late: likewise.
    from holdfast.lab.guest_xml import GuestPlan, render_guest_xml  # Late: likewise.

    say(f"no VM is here yet: making a small one, {NAME} (the first time takes up to a minute)")
    settings = site.settings
    cache = Path(settings.cache_dir)
    plan = GuestPlan(name=NAME, uuid=str(uuid4()))
    try:
        image = build_guest_image(cache)
        acceleration = choose_acceleration(image, cache)
    except LabError as error:
        raise Failure(f"the sample VM cannot be made: {error}") from None
    closed = let_qemu_read(cache, (image.kernel, image.initramfs))
    say(f"its kernel is {image.kernel_version} from {image.kernel_source}; {acceleration.reason}")
    xml = render_guest_xml(plan, image, acceleration)
    uri = settings.libvirt_uri
    virsh(uri, "define", "/dev/stdin", stdin=xml, limit_s=VIRSH_LIMIT_S)
    try:
        virsh(uri, "start", NAME, limit_s=VIRSH_LIMIT_S)
    except Failure as failure:
        virsh(uri, "undefine", NAME)  # Or the next `up` would take it for a VM of its owner's.
        raise explained(failure, closed) from None
    _wait_for(site, lambda vm: vm.is_running, "was started, and the agent does not see it yet")
    ask_program(site, CONTROLLER, "protect", vm=plan.uuid, group="", answer="agent")
    _wait_for(site, _is_ready, "is not ready yet")


def let_qemu_read(cache: Path, files: Iterable[Path]) -> list[Path]:
    """QEMU most often runs as a user of its own. Whoever made the cache may have kept it to
    themselves; what is in it is no secret. Folders above it that are closed are not ours to open:
    they are given back."""
    closed: list[Path] = []
    for path in files:
        for one in (path, *path.parents):
            wanted = 0o111 if one.is_dir() else 0o444
            if one.stat().st_mode & wanted == wanted:
                continue
            if one.is_relative_to(cache):
                one.chmod(one.stat().st_mode | wanted)
            elif one not in closed:
                closed.append(one)
    return closed


def explained(failure: Failure, closed: Iterable[Path]) -> Failure:
    """Where QEMU's own user cannot look into folders, that is the likely reason."""
    names = " ".join(map(str, closed))
    if not names:
        return failure
    hint = f"QEMU's own user cannot look into {names}: chmod a+x {names}, or set another cache_dir"
    return Failure(failure.message, hint, failure.code)


def remove_sample(settings: Settings) -> bool:
    """Whether there was one."""
    uri = settings.libvirt_uri
    if NAME not in virsh(uri, "list", "--all", "--name").split():
        return False
    if NAME in virsh(uri, "list", "--name").split():
        virsh(uri, "destroy", NAME)
    virsh(uri, "undefine", NAME, "--managed-save", "--nvram")
    return True


def _is_ready(vm: VmSummary) -> bool:
    return vm.is_running and vm.is_protected and not vm.obstacle and vm.state != "paused"


def _wait_for(site: Site, is_so: Callable[[VmSummary], bool], otherwise: str) -> None:
    """Until this is so of the sample, as the controller knows it. Raises Failure."""
    deadline = time.monotonic() + SEEN_LIMIT_S
    while time.monotonic() < deadline:
        try:
            rows = rows_of(ask_program(site, CONTROLLER, "vms"), "vms")
        except Away:
            rows = []
        for vm in convert(rows, list[VmSummary]):
            if vm.name == NAME and is_so(vm):
                return
        time.sleep(POLL_S)
    raise Failure(f"{NAME} {otherwise}", f"look: holdfast vm show {NAME}", Exit.AWAY)
