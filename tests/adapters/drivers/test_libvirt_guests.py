"""What libvirt-guests would do to protected VMs at a shutdown is read as a shell reads it.

covers: H9
"""

from pathlib import Path

import pytest

from holdfast.adapters.drivers.libvirt_guests import Places, trouble

DEBIAN = 'URIS="default"\nON_SHUTDOWN="shutdown"\ncase $1 in\n    ON_SHUTDOWN="suspend"\nesac\n'
RHEL = "ON_BOOT=start\nON_SHUTDOWN=suspend\n"


class Disk:
    def __init__(self, folder: Path) -> None:
        self.settings, self.script = folder / "default", folder / "libvirt-guests.sh"
        self.systemd = folder / "systemd"
        self.at = Places(
            settings=(folder / "none", self.settings),
            scripts=(folder / "none.sh", self.script),
            links=(self.systemd,),
        )

    def enable(self, link: str = "multi-user.target.wants/libvirt-guests.service") -> None:
        (self.systemd / link).parent.mkdir(parents=True)
        (self.systemd / link).touch()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    found = Disk(tmp_path)
    found.script.write_text(RHEL)
    found.settings.write_text("# ON_SHUTDOWN=shutdown\n#ON_BOOT=ignore\n")
    return found


def test_a_service_that_does_not_run_troubles_nobody(disk: Disk) -> None:
    assert trouble(disk.at) == ""


@pytest.mark.parametrize(
    "link", ["multi-user.target.wants/libvirt-guests.service", "rc0.d/K01libvirt-guests"]
)
def test_what_it_saves_is_said_to_be_lost(disk: Disk, link: str) -> None:
    disk.enable(link)
    said = trouble(disk.at)
    assert "protected ones start anew afterwards" in said
    assert said.endswith(f"In {disk.settings}: ON_SHUTDOWN=shutdown")


@pytest.mark.parametrize(
    ("settings", "script", "saves"),
    [
        ("", RHEL, True),
        ("", DEBIAN, False),
        ("ON_SHUTDOWN=suspend", DEBIAN, True),
        ("ON_SHUTDOWN='suspend' # as before", DEBIAN, True),
        ("export ON_SHUTDOWN=suspend", DEBIAN, True),
        ("ON_SHUTDOWN=suspend\nON_SHUTDOWN=shutdown", RHEL, False),
        ("ON_SHUTDOWN=shutdown\nON_SHUTDOWN='", RHEL, False),
        ("#ON_SHUTDOWN=shutdown", RHEL, True),
        ("ON_SHUTDOWN=", RHEL, True),
        ("", "", False),
    ],
)
def test_settings_count_before_the_scripts_own(
    disk: Disk, settings: str, script: str, saves: bool
) -> None:
    disk.enable()
    disk.settings.write_text(settings)
    disk.script.write_text(script)
    assert bool(trouble(disk.at)) is saves


def test_what_cannot_be_read_is_no_trouble(disk: Disk) -> None:
    disk.enable()
    disk.settings.unlink()
    disk.script.unlink()
    assert trouble(disk.at) == ""
