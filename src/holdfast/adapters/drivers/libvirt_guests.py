"""`libvirt-guests`, the service that ends or saves all guests at a shutdown, and may start them.

Holdfast changes nothing of it: its own services end before it at a shutdown, so that what it then
does is no wish of anybody's about one VM, and libvirt's hook refuses what it starts at boot and is
not this host's. But what it saves is lost, since a protected VM starts from its initial state.
"""

import shlex
from pathlib import Path

from msgspec import Struct

SAVES = "suspend"
WORD = "ON_SHUTDOWN"


class Places(Struct, frozen=True, kw_only=True):
    """Where distributions have it. Each first one that is there counts."""

    settings: tuple[Path, ...] = (
        Path("/etc/default/libvirt-guests"),  # Debian, Ubuntu.
        Path("/etc/sysconfig/libvirt-guests"),  # RHEL and its kin.
    )
    scripts: tuple[Path, ...] = (
        Path("/usr/lib/libvirt/libvirt-guests.sh"),
        Path("/usr/libexec/libvirt-guests.sh"),
    )
    links: tuple[Path, ...] = (Path("/etc/systemd/system"), Path("/etc"))


def trouble(places: Places | None = None) -> str:
    """Why protected VMs lose what it saves of them, or empty."""
    at = places or Places()
    if not _is_enabled(at):
        return ""
    settings = next((one for one in at.settings if one.exists()), None)
    if settings is None:
        settings = at.settings[0]
    if _shutdown_word(at, settings) != SAVES:
        return ""
    return (
        "it saves VMs when this host shuts down, and protected ones start anew afterwards: what it"
        f" saved of them is lost. In {settings}: {WORD}=shutdown"
    )


def _shutdown_word(at: Places, settings: Path) -> str:
    """As its settings say, or else the script, whose default is not the same everywhere."""
    for path in (settings, *at.scripts):
        word = _assigned(path)
        if word:
            return word
    return ""


def _assigned(path: Path) -> str:
    """The last assignment counts, as in a shell; what no shell would take is passed over."""
    word = ""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        said = line.removeprefix("export ")
        if said.startswith(f"{WORD}="):  # Not one that is indented: that is of some case.
            try:
                word = shlex.split(said, comments=True)[0].partition("=")[2]
            except ValueError:
                continue
    return word


def _is_enabled(at: Places) -> bool:
    """For systemd, or with links of init."""
    wanted = ("*.wants/libvirt-guests.service", "rc?.d/K??libvirt-guests")
    return any(next(folder.glob(name), None) for folder in at.links for name in wanted)
