"""Every mender, and the fake, keeps the contract of its port.

covers: H1 H19
"""

import asyncio
import pkgutil
import subprocess
from pathlib import Path

import pytest

from holdfast.adapters import menders
from holdfast.adapters.drivers import systemd_units
from holdfast.adapters.drivers.qemu_proc import read_ticks
from holdfast.adapters.menders.command import Command
from holdfast.adapters.menders.process import ProcessMender
from holdfast.adapters.menders.switch import SwitchMender
from holdfast.adapters.menders.unit import UnitMender
from holdfast.adapters.simulated.mender import MenderInMemory
from holdfast.adapters.simulated.switch import SwitchInMemory
from holdfast.ports.mender import Mender
from tests.adapters import test_hardware_menders
from tests.adapters.contract_mender import MenderContract, asked

HANGS = ("/bin/sleep", "60")


class TestMenderInMemory(MenderContract):
    @pytest.fixture(autouse=True)
    def _made(self) -> None:
        self.mender = MenderInMemory()

    def make(self) -> Mender:
        return self.mender

    def works(self) -> tuple[str, ...]:
        return ()

    def cannot(self) -> tuple[str, ...]:
        self.mender.refusal = "it is not to be mended"
        return ()

    def hangs(self) -> tuple[str, ...]:
        self.mender.hangs = True
        return ()


class TestCommand(MenderContract):
    def make(self) -> Mender:
        return Command()

    def works(self) -> tuple[str, ...]:
        return ("/bin/true",)

    def cannot(self) -> tuple[str, ...]:
        return ("/bin/sh", "-c", "echo the disk is full >&2; exit 3")

    def hangs(self) -> tuple[str, ...]:
        return HANGS


class TestProcess(MenderContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.mark = tmp_path / "stopped"

    def make(self) -> Mender:
        return ProcessMender()

    def works(self) -> tuple[str, ...]:
        return (str(self.mark), "", "/bin/true")

    def cannot(self) -> tuple[str, ...]:
        self.mark.touch()
        return (str(self.mark), "", "/bin/true")

    def hangs(self) -> tuple[str, ...]:
        return (str(self.mark), "", *HANGS)


class TestSwitch(MenderContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.mark, self.switch = tmp_path / "vswitch", SwitchInMemory({"br-vm": 10}, set(), set())
        asyncio.run(self.switch.record())

    def make(self) -> Mender:
        return SwitchMender(self.switch)

    def works(self) -> tuple[str, ...]:
        return ("restart", "process", str(self.mark), "", "/bin/true")

    def cannot(self) -> tuple[str, ...]:
        self.mark.touch()
        return ("flows", str(self.mark))

    def hangs(self) -> tuple[str, ...]:
        return ("restart", "process", str(self.mark), "", *HANGS)


SYSTEMCTL = """#!/bin/sh
echo "$@" >>{folder}/asked
case "$1 $*" in
"show "*hanging*) exec sleep 60 ;;
"show "*stopped*) state=inactive ;;
"show "*hung*) state=active; pid=$(cat {folder}/pid) ;;
"show "*crashed*) state=deactivating; [ "$(grep -c show {folder}/asked)" -le 2 ] || state=failed ;;
*) state=failed ;;
esac
[ "$1" = show ] || exit 0
printf '%s\\n' Id=$3 LoadState=loaded ActiveState=$state Result=x MainPID=${{pid:-0}}
"""


class TestUnit(MenderContract):
    """On a systemctl of the test's own: what the real one does is shown on a lab host."""

    @pytest.fixture(autouse=True)
    def _systemctl(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        program = tmp_path / "systemctl"
        program.write_text(SYSTEMCTL.format(folder=tmp_path))
        program.chmod(0o755)

    def make(self) -> Mender:
        return UnitMender(systemd_units.Systemd(str(self.folder / "systemctl"), self.folder))

    def works(self) -> tuple[str, ...]:
        return ("served.service",)

    def cannot(self) -> tuple[str, ...]:
        return ("stopped.service",)

    def hangs(self) -> tuple[str, ...]:
        return ("hanging.service",)

    def test_it_may_be_told_to_start_only(self) -> None:
        systemd = systemd_units.Systemd(str(self.folder / "systemctl"), self.folder)
        asyncio.run(UnitMender(systemd, verb="start").mend(asked(("served.service",))))
        words = (self.folder / "asked").read_text()
        assert "start served.service" in words
        assert "restart" not in words

    def test_only_the_main_process_of_a_unit_is_ended(self) -> None:
        """VMs may be in the unit of libvirt: all of it is never killed."""
        with subprocess.Popen(HANGS) as main, subprocess.Popen(HANGS) as beside:
            (self.folder / "pid").write_text(str(main.pid))
            asyncio.run(self.make().mend(asked(("hung.service",))))
            assert main.wait(5) == -9
            assert beside.poll() is None
            beside.kill()
        assert "kill" not in (self.folder / "asked").read_text()

    def test_one_that_was_begun_again_meanwhile_is_left_alone(self) -> None:
        with subprocess.Popen(HANGS) as main:
            (self.folder / "pid").write_text(str(main.pid))
            evidence = {"pid": "1", "started_ticks": "1"}
            said = asyncio.run(self.make().mend(asked(("hung.service",), evidence=evidence)))
            assert said == f"hung.service runs already, as process {main.pid}"
            assert main.poll() is None
            main.kill()
        assert "restart" not in (self.folder / "asked").read_text()

    def test_what_is_still_being_ended_after_a_crash_is_waited_for(self) -> None:
        asyncio.run(self.make().mend(asked(("crashed.service",))))
        assert "restart crashed.service" in (self.folder / "asked").read_text()

    def test_what_somebody_stopped_is_not_started(self) -> None:
        self.test_it_says_why_it_could_not()
        assert "restart" not in (self.folder / "asked").read_text()


def test_no_mender_is_left_out() -> None:
    tested = [*globals(), *vars(test_hardware_menders)]
    here = {name.removeprefix("Test").lower() for name in tested if name.startswith("Test")}
    names = {one.name.replace("_", "") for one in pkgutil.iter_modules(menders.__path__)}
    assert names <= here


def test_only_the_very_process_of_the_fault_is_ended(tmp_path: Path) -> None:
    """Its number may be another's by now."""
    args = (str(tmp_path / "stopped"), "", "/bin/true")
    with subprocess.Popen(HANGS) as other:
        evidence = {"pid": str(other.pid), "started_ticks": "1"}
        assert asyncio.run(ProcessMender().mend(asked(args, evidence=evidence))) == "/bin/true"
        assert other.poll() is None
        evidence["started_ticks"] = str(read_ticks(other.pid))
        said = asyncio.run(ProcessMender().mend(asked(args, evidence=evidence)))
        assert said == f"process {other.pid} was ended by SIGTERM; /bin/true"
