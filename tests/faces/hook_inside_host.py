"""Run inside a lab host by test_hook_on_libvirt.py: what a real libvirt makes of our hook."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.faces.cli import hook
from holdfast.faces.cli.services import Machine
from holdfast.facts.settings import Settings

URI, NAME, UUID = "qemu:///system", "web", "5a1c7a5e-0000-4000-8000-000000000021"
XML = f"""<domain type='qemu'><name>{NAME}</name><uuid>{UUID}</uuid>
  <memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><controller type='usb' model='none'/><memballoon model='none'/></devices></domain>"""
LIMIT_S = 30.0


def virsh(*words: str) -> subprocess.CompletedProcess[str]:
    argv = ["virsh", "--quiet", "--connect", URI, *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def pid_of_libvirtd() -> int:
    return int(Path("/run/libvirtd.pid").read_text())


def restart_libvirtd() -> None:
    """As a boot, or a person, does it; VMs run on."""
    pid = pid_of_libvirtd()
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + LIMIT_S
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, "libvirtd does not end"
        time.sleep(0.05)
    subprocess.run(["libvirtd", "--daemon", "--listen"], check=True, timeout=LIMIT_S)
    while virsh("uri").returncode:
        assert time.monotonic() < deadline, "libvirtd does not come back"
        time.sleep(0.05)


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A protected VM with autostart, and our hook; libvirt has not been started since."""
    state, run = tmp_path / "state", tmp_path / "run"
    definition = tmp_path / "web.xml"
    definition.write_text(XML)
    assert virsh("define", str(definition)).returncode == 0
    assert virsh("autostart", NAME).returncode == 0
    said: list[str] = []
    on = Machine()
    hook.install(Settings(state_dir=str(state), run_dir=str(run)), said.append, on)
    assert any("systemctl restart libvirtd" in text for text in said)
    (state / "protected").mkdir(parents=True)
    (run / "held").mkdir(parents=True)
    yield state, run
    hook.remove(said.append, on)
    virsh("destroy", NAME)
    virsh("undefine", NAME)


def test_libvirt_asks_before_every_start(folders: tuple[Path, Path]) -> None:
    state, run = folders
    listed, held = state / "protected" / UUID, run / "held" / UUID
    listed.write_text("Holdfast protects web: it may run on another host.\n")
    assert virsh("start", NAME).returncode == 0, "a libvirt without hooks finds none while it runs"
    assert virsh("destroy", NAME).returncode == 0
    restart_libvirtd()
    assert virsh("domstate", NAME).stdout.strip() == "shut off", "autostart was refused"
    refused = virsh("start", NAME)
    assert refused.returncode != 0
    assert "Holdfast protects web: it may run on another host." in refused.stderr
    held.touch()
    began = time.monotonic()
    assert virsh("start", NAME).returncode == 0, "libvirt knows of the hook: nothing else is needed"
    print(f"a start with the hook took {time.monotonic() - began:.2f} s")
    held.unlink()
    restart_libvirtd()
    assert virsh("domstate", NAME).stdout.strip() == "running", "what runs is not asked about"
    assert virsh("destroy", NAME).returncode == 0
    assert virsh("start", NAME).returncode != 0
    listed.unlink()
    assert virsh("start", NAME).returncode == 0, "nobody protects it"


GUESTS = Path("/usr/lib/libvirt/libvirt-guests.sh")
LISTED = Path("/var/lib/libvirt/libvirt-guests")
OTHER, OTHER_UUID = "other", "5a1c7a5e-0000-4000-8000-000000000022"


def libvirt_guests(what: str, settings: str) -> str:
    """The service's own script, with these settings in the place of the host's."""
    text = GUESTS.read_text().replace('"$sysconfdir"/default/libvirt-guests', settings)
    # Where systemd runs, these would hand it over to that, which knows of no lab.
    text = text.replace(". /lib/lsb/init-functions", "")
    argv = ["sh", "-c", text, str(GUESTS), what]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    return done.stdout + done.stderr


def test_libvirt_guests_starts_nothing_that_is_not_this_hosts(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """It saves both at a shutdown; after it one is another host's, and the other is nobody's."""
    state, _ = folders
    settings, definition = tmp_path / "guests", tmp_path / "other.xml"
    settings.write_text(f"URIS={URI}\nON_BOOT=start\nON_SHUTDOWN=suspend\n")
    definition.write_text(XML.replace(NAME, OTHER).replace(UUID, OTHER_UUID))
    restart_libvirtd()
    try:
        assert virsh("define", str(definition)).returncode == 0
        for name in (NAME, OTHER):
            virsh("start", name)  # One may run by its autostart.
            assert virsh("domstate", name).stdout.strip() == "running"
        libvirt_guests("stop", str(settings))
        assert {UUID, OTHER_UUID} <= set(LISTED.read_text().split())
        assert virsh("domstate", NAME).stdout.strip() == "shut off"
        (state / "protected" / UUID).write_text("Holdfast protects web: another host has it.\n")
        said = libvirt_guests("start", str(settings))
        assert "Holdfast protects web: another host has it." in said
        assert virsh("domstate", NAME).stdout.strip() == "shut off"
        assert virsh("domstate", OTHER).stdout.strip() == "running"
    finally:
        LISTED.unlink(missing_ok=True)
        for name in (NAME, OTHER):
            virsh("managedsave-remove", name)
        virsh("destroy", OTHER)
        virsh("undefine", OTHER)
