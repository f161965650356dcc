"""libvirt's hook on a host of a site: what is protected starts here only if this host holds it.

libvirt looks for hooks when it starts. One that had none must be started anew to find its first.
"""

import contextlib

import click

from holdfast.adapters.drivers.certificates import Certificates
from holdfast.adapters.drivers.libvirt_hook import path_in, script
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.services import Machine, Say, write
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.facts.settings import Settings

TELL_LIBVIRT = (
    "libvirt had no hook here: have it find this one, VMs run on meanwhile:"
    " systemctl restart libvirtd (or virtqemud)"
)


def install(settings: Settings, say: Say, on: Machine) -> None:
    """Beside whatever hooks there are. Nothing without libvirt. Raises Failure."""
    if not on.hooks.parent.is_dir():
        return
    path, is_first = path_in(on.hooks), not _has_hooks(on)
    write(path, script(settings), 0o755)
    say(f"libvirt asks Holdfast before it starts a protected VM ({path})")
    if is_first:
        say(TELL_LIBVIRT)


def remove(say: Say, on: Machine) -> None:
    """A libvirt that knew of it goes on without."""
    path = path_in(on.hooks)
    if path.exists():
        path.unlink()
        with contextlib.suppress(OSError):  # Other hooks are there.
            path.parent.rmdir()
        say(f"libvirt's hook was removed: {path}")


@click.command("hook")
@pass_site
def install_here(site: Site) -> None:
    """Install libvirt's hook on this host, or renew it. `holdfast status` says if that is due.

    `init` and `join` do it, too: this is for a host whose site is older than the hook.
    """
    if not Certificates.is_here(site.settings.tls_dir):
        text = "this host belongs to no site: only there may a VM run on another host by now"
        raise Failure(text, "holdfast join, or holdfast init", Exit.USAGE)
    install(site.settings, click.echo, Machine())


def _has_hooks(on: Machine) -> bool:
    folder = on.hooks / "qemu.d"
    return (on.hooks / "qemu").exists() or (folder.is_dir() and any(folder.iterdir()))
