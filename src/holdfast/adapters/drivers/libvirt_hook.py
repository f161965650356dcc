"""libvirt's hook on a host of a site: what its script says, and whether it is there as it should.

A site that is older than the hook, or than this version of it, is told so, and gets it by one
command: no host has to join again.
"""

import os
import shlex
from pathlib import Path

from holdfast.facts.settings import Settings

TEMPLATE = Path(__file__).with_name("holdfast.hook")
HOOKS = Path("/etc/libvirt/hooks")
NAME = "holdfast"


def script(settings: Settings) -> str:
    """With the folders of this host in it."""
    words = {"STATE": settings.state_dir, "RUN": settings.run_dir}
    text = TEMPLATE.read_text()
    for name, folder in words.items():
        text = text.replace(f"@{name}@", shlex.quote(folder))
    return text


def path_in(hooks: Path) -> Path:
    return hooks / "qemu.d" / NAME


def trouble(settings: Settings, hooks: Path = HOOKS) -> str:
    """What is wrong with it on a host of a site, or empty; nothing is where there is no libvirt."""
    if not hooks.parent.is_dir():
        return ""
    path = path_in(hooks)
    try:
        is_same = path.read_text() == script(settings)
    except FileNotFoundError:
        return "it is not installed: after a boot, a VM could start here that runs elsewhere by now"
    except (OSError, UnicodeDecodeError) as error:
        return f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}"
    if not is_same:
        return f"{path} is of another version, or was changed"
    return "" if os.access(path, os.X_OK) else f"{path} cannot be run: libvirt passes it over"
