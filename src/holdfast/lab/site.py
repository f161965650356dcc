"""Holdfast on every host of a lab, as people install it: settings, `init`, `join`.

Its services start at boot, so a lab host that is switched on again comes back with them.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from holdfast.facts.fencing import FenceDevice
from holdfast.lab.guest_xml import GuestDisk
from holdfast.lab.guests import Guest, plan_guest
from holdfast.lab.hosts import Host

SETTINGS_FILE = "/etc/holdfast/holdfast.toml"
# All lab hosts see the machine's /var/tmp: it is their shared storage.
SHARED_FOLDER = "/var/tmp/holdfast-lab-{lab}/shared"
INSTALL_LIMIT_S = 120.0
DISK_BYTES = 4 << 20
# Each host has a rack of its own: hosts that are lost together are not one alarm here.
SETTINGS = """# Written by the lab.
[host]
name = "{name}"
rack = "rack-of-{name}"
watchdog = "/var/lib/holdfast/watchdog"

[libvirt]
shared_paths = ["{shared}"]

[plane.a]
address = "{a}"

[plane.b]
address = "{b}"
"""


def holdfast(*words: str) -> list[str]:
    """The command line of this very Holdfast, from the environment we run in."""
    return [str(Path(sys.executable).with_name("holdfast")), *words]


def shared_folder(lab: str) -> Path:
    """The folder that every host of a lab sees, made if need be; guests may reach into it."""
    folder = Path(SHARED_FOLDER.format(lab=lab))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
    return folder


def write_settings(host: Host, more: str = "") -> None:
    """The settings file of a host on both planes of the lab, with `more` at its end."""
    text = SETTINGS.format(
        name=host.name,
        a=host.address_on("a"),
        b=host.address_on("b"),
        shared=SHARED_FOLDER.format(lab=host.lab),
    )
    host.path(SETTINGS_FILE).write_text(text + more)


def install(hosts: Sequence[Host], controllers: int) -> None:
    """As START.md says; the first hosts, one or three, become the controllers'. Raises LabError."""
    first, *others = hosts
    run(first, "init", "--controllers", str(controllers))
    for number, host in enumerate(others, 2):
        words = ["--controller"] if number <= controllers else []
        token = json.loads(run(first, "ca", "token", "new", *words, "--json"))["token"]
        run(host, "join", first.address, "--token", token, *words)


def run(host: Host, *words: str, stdin: str | None = None) -> str:
    """What Holdfast's own command says on a host. Raises LabError with its words."""
    done = host.run(holdfast(*words), timeout_s=INSTALL_LIMIT_S, stdin_text=stdin)
    return done.stdout.strip()


def fence_set(host: Host, device: FenceDevice, level: int = 1) -> tuple[list[str], str]:
    """The words of the command that sets this device of a host, and what it reads."""
    options = [f"--option={name}={value}" for name, value in device.options.items()]
    more = ["--secrets-from=-", f"--level={level}", f"--deadline={device.deadline_s}s"]
    secrets = "".join(f"{name}={value}\n" for name, value in device.secrets.items())
    return ["fence", "set", host.name, device.agent, *options, *more], secrets


def define_shared(host: Host, name: str, memory_mib: int) -> Guest:
    """A sample guest that could run on any host of its lab: its disk is on the shared folder."""
    disk = shared_folder(host.lab) / f"{name}.raw"
    with disk.open("wb") as file:
        file.truncate(DISK_BYTES)
    plan = plan_guest(
        host.lab, name, memory_mib=memory_mib, disk=GuestDisk(path=disk), on_crash="destroy"
    )
    return Guest.define(host, plan)
