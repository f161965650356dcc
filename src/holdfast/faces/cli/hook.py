"""libvirt's hook on a host of a site: what is protected starts here only if this host holds it.

libvirt looks for hooks when it starts. One that had none must be started anew to find its first.
"""

import contextlib
import shlex
from pathlib import Path

from holdfast.faces.cli.services import TEMPLATES, Machine, Say, filled, write
from holdfast.facts.settings import Settings

NAME = "holdfast"
TELL_LIBVIRT = (
    "libvirt had no hook here: have it find this one, VMs run on meanwhile:"
    " systemctl restart libvirtd (or virtqemud)"
)


def install(settings: Settings, say: Say, on: Machine) -> None:
    """Beside whatever hooks there are. Nothing without libvirt. Raises Failure."""
    if not on.hooks.parent.is_dir():
        return
    path, is_first = _path(on), not _has_hooks(on)
    words = {"STATE": shlex.quote(settings.state_dir), "RUN": shlex.quote(settings.run_dir)}
    write(path, filled(TEMPLATES / "holdfast.hook", words), 0o755)
    say(f"libvirt asks Holdfast before it starts a protected VM ({path})")
    if is_first:
        say(TELL_LIBVIRT)


def remove(say: Say, on: Machine) -> None:
    """A libvirt that knew of it goes on without."""
    path = _path(on)
    if path.exists():
        path.unlink()
        with contextlib.suppress(OSError):  # Other hooks are there.
            path.parent.rmdir()
        say(f"libvirt's hook was removed: {path}")


def _path(on: Machine) -> Path:
    return on.hooks / "qemu.d" / NAME


def _has_hooks(on: Machine) -> bool:
    folder = on.hooks / "qemu.d"
    return (on.hooks / "qemu").exists() or (folder.is_dir() and any(folder.iterdir()))
