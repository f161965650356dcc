"""The installer is quiet when nothing is missing, and harms nothing: tried among fakes."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.architecture.sources import PROJECT

pytestmark = pytest.mark.slow  # Seconds in all: `make test` runs them.

# Each fake notes that it was called. What they answer is in the files beside them.
FAKES = {
    "apt-get": (
        'echo "apt-get $*" >>calls; cat says; '
        'case "$*" in *--simulate*) exit 0;; esac; exit "$(cat apt-ends)"'
    ),
    "apt-cache": (
        'case " $(cat unknown) " in *" $2 "*) echo "  Candidate: (none)";;'
        ' *) echo "  Candidate: $(cat candidate)";; esac'
    ),
    "dpkg": 'case "$1" in -L) cat owned;; *) echo amd64;; esac',
    "dpkg-query": 'echo "$(cat status)"',
    "find": "cat running",
    "systemctl": 'echo "systemctl $*" >>calls',
    "update-rc.d": 'echo "update-rc.d $*" >>calls',
    "sudo": 'exec "$@"',
}


class Machine:
    """A folder with the installer, and fakes of the programs that it calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "scripts").mkdir()
        (folder / "bin").mkdir()
        script = (PROJECT / "scripts" / "install").read_text()
        # What it would remember and the environment it would make are not what is tried here.
        for here, instead in (
            ("/var/lib/holdfast/", f"{folder}/remembered/"),
            ("/usr/sbin/policy-rc.d", f"{folder}/policy-rc.d"),
            ("environment() {\n", "environment() {\n    return\n"),
        ):
            assert here in script
            script = script.replace(here, instead)
        (folder / "scripts" / "install").write_text(script)
        for name, body in FAKES.items():
            fake = folder / "bin" / name
            fake.write_text(f"#!/bin/sh\ncd {folder}\n{body}\n")
            fake.chmod(0o755)
        self.has(says="", candidate="1.0", owned="", status="", running="", calls="", unknown="")
        self.has(**{"apt-ends": "0"})

    def has(self, **texts: str) -> None:
        for name, text in texts.items():
            (self.folder / name).write_text(text)

    def install(self, what: str = "test") -> tuple[int, str]:
        answer = subprocess.run(
            ["bash", "scripts/install", what],
            cwd=self.folder,
            env=os.environ
            | {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "HOLDFAST_APT_PATIENCE": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=30,
            check=False,
        )
        return answer.returncode, answer.stdout

    @property
    def installed(self) -> list[str]:
        """The calls of apt-get that changed something."""
        calls = (self.folder / "calls").read_text().splitlines()
        return [call for call in calls if " install " in call and "--simulate" not in call]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_nothing_is_said_or_asked_when_nothing_is_missing(machine: Machine) -> None:
    machine.has(status="installed")
    assert machine.install() == (0, "")
    assert (machine.folder / "calls").read_text() == ""


def test_what_is_missing_is_named_installed_and_remembered(machine: Machine) -> None:
    status, said = machine.install("env")
    assert status == 0
    packages = "ca-certificates python3 python3-libvirt python3-venv"
    assert said == f"install: installing distribution packages: {packages}\n"
    [call] = machine.installed
    assert call.endswith(packages)
    assert {"-y", "--no-install-recommends", "--no-remove"} <= set(call.split())
    remembered = machine.folder / "remembered" / "distribution-packages"
    assert remembered.read_text().split() == packages.split()


def test_lists_are_read_again_only_for_a_package_without_candidate(machine: Machine) -> None:
    machine.has(candidate="(none)")
    status, said = machine.install("env")
    assert status == 1
    assert "does not offer" in said
    assert "python3-libvirt" in said
    assert " update" in (machine.folder / "calls").read_text()
    assert machine.installed == []


def test_a_kernel_is_refused(machine: Machine) -> None:
    machine.has(says="Inst linux-image-6.1.0-1-amd64 (6.1 stable [amd64])\n")
    status, said = machine.install()
    assert status == 1
    assert "a kernel with this: linux-image-6.1.0-1-amd64" in said
    assert machine.installed == []


SERVICE = "/usr/lib/systemd/system/libvirtd.service\n/usr/sbin/libvirtd\n"
UPGRADE = "Inst libvirt-daemon [9.0] (9.1 stable [amd64])\n"


def test_an_upgrade_that_would_restart_a_running_service_is_refused(machine: Machine) -> None:
    machine.has(says=UPGRADE, owned=SERVICE, running="/usr/sbin/libvirtd\n/usr/bin/bash\n")
    status, said = machine.install()
    assert status == 1
    assert "libvirt-daemon" in said
    assert machine.installed == []


@pytest.mark.parametrize(
    ("says", "owned", "running"),
    [
        (UPGRADE, SERVICE, "/usr/bin/bash\n"),  # the service does not run
        (UPGRADE, "/usr/sbin/libvirtd\n", "/usr/sbin/libvirtd\n"),  # no service of the package
        (UPGRADE.replace(" [9.0]", ""), SERVICE, "/usr/sbin/libvirtd\n"),  # new, not upgraded
    ],
)
def test_a_harmless_plan_is_carried_out(
    machine: Machine, says: str, owned: str, running: str
) -> None:
    machine.has(says=says, owned=owned, running=running)
    assert machine.install()[0] == 0
    assert len(machine.installed) == 1


def test_an_apt_that_stays_busy_is_named(machine: Machine) -> None:
    busy = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 12 (apt-get)\n"
    machine.has(says=busy, **{"apt-ends": "100"})
    status, said = machine.install()
    assert status == 1
    assert "keeps apt busy" in said
    assert "process 12" in said


def test_an_apt_that_fails_is_quoted(machine: Machine) -> None:
    machine.has(says="E: Failed to fetch\n", **{"apt-ends": "100"})
    status, said = machine.install()
    assert status == 1
    assert "E: Failed to fetch" in said
    assert "online?" in said


def test_an_unknown_wish_is_answered_with_the_known_ones(machine: Machine) -> None:
    status, said = machine.install("everything")
    assert status == 2
    assert "scripts/install run" in said


@pytest.mark.parametrize(
    ("what", "services"),
    [
        ("controller", {"etcd", "ipmievd"}),
        ("test", {"etcd", "ipmievd", "openipmi", "openvswitch-switch"}),
    ],
)
def test_what_it_brings_along_does_not_start(
    machine: Machine, what: str, services: set[str]
) -> None:
    fake = machine.folder / "bin" / "apt-get"
    text = fake.read_text().replace("cat says;", "cp policy-rc.d kept 2>/dev/null; cat says;")
    fake.write_text(text)
    assert machine.install(what)[0] == 0
    assert not (machine.folder / "policy-rc.d").exists()
    policy = machine.folder / "kept"  # While apt installed.
    for service, code in [*((one, 101) for one in services), ("libvirtd", 0)]:
        assert subprocess.run(["sh", policy, service, "start"], check=False).returncode == code
    calls = (machine.folder / "calls").read_text().splitlines()
    disabled = {one for call in calls if "disable" in call for one in services if one in call}
    assert disabled == services


def test_a_host_needs_no_fence_agents_and_a_controller_does(machine: Machine) -> None:
    machine.install("run")
    machine.install("controller")
    host, controller = machine.installed
    assert "fence" not in host
    assert "ipmitool" not in host
    assert {"ipmitool", "fence-agents-ipmilan", "fence-agents-redfish"} <= set(controller.split())


def test_where_all_fence_agents_are_one_package_it_is_that(machine: Machine) -> None:
    machine.has(unknown="fence-agents-ipmilan fence-agents-redfish")
    assert machine.install("controller")[0] == 0
    [call] = machine.installed
    assert {one for one in call.split() if "fence" in one} == {"fence-agents"}


def test_a_policy_of_the_machine_stays(machine: Machine) -> None:
    machine.has(**{"policy-rc.d": "of somebody"})
    assert machine.install("controller")[0] == 0
    assert (machine.folder / "policy-rc.d").read_text() == "of somebody"
