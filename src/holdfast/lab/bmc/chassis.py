"""What a lab host's BMC does to its host: reads its power, cuts it, and boots it.

Run by ipmi_sim, with LAB HOST PLACE and then `get power` or `set power 0`; our own word is `boot`.
"""

import json
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from holdfast.lab.commands import LabError, leave_running, system_environment
from holdfast.lab.host import STATE_FOLDER, Host
from holdfast.lab.hosts import Lab
from holdfast.lab.namespaces import LAB_VARIABLE


@dataclass(frozen=True)
class Chassis:
    """One host, as its BMC sees it; `place` 2 is its second BMC."""

    lab: str
    name: str
    place: int = 1

    @property
    def folder(self) -> Path:
        """What this BMC keeps, for as long as the lab is up."""
        which = "" if self.place == 1 else f"-{self.place}"
        return STATE_FOLDER / self.lab / f"bmc-{self.name}{which}"

    @property
    def _words(self) -> list[str]:
        return [self.lab, self.name, str(self.place)]

    @property
    def _host(self) -> Host:
        return Lab.find(self.lab).host(self.name)

    def break_it(self, *, is_stuck: bool = False, late_s: float = 0.0) -> None:
        """From now on: `is_stuck` says on, whatever is so and whatever is ordered; `late_s` is how
        long each answer takes."""
        (self.folder / "broken").write_text(json.dumps({"stuck": is_stuck, "late_s": late_s}))

    def has_power(self) -> bool:
        """Tell what this BMC answers, which need not be so."""
        return self._is_stuck() or self._host.is_powered_on

    def set_power(self, is_on: bool) -> None:
        """Cut the power at once, or begin to boot."""
        if self._is_stuck():
            return
        if is_on:
            # It takes seconds, and a BMC answers at once. What it begins is of the lab, as it is.
            env = {**system_environment(), LAB_VARIABLE: self.lab}
            leave_running([*program(), *self._words, "boot"], self.folder / "boot.log", env)
            return
        with suppress(LabError):  # It is off already.
            self._host.power_cut()

    def boot(self) -> None:
        """Boot the host; one that has power is left alone."""
        with suppress(LabError):
            self._host.power_on()

    def _is_stuck(self) -> bool:
        broken = self.folder / "broken"
        told = json.loads(broken.read_text()) if broken.exists() else {}
        time.sleep(float(told.get("late_s", 0.0)))
        return bool(told.get("stuck"))


def program() -> list[str]:
    """The command line of this program, to be followed by the lab and the host."""
    return [sys.executable, "-P", "-m", "holdfast.lab.bmc.chassis"]


def main(words: list[str]) -> None:
    chassis, rest = Chassis(words[0], words[1], int(words[2])), words[3:]
    if rest == ["boot"]:
        chassis.boot()
    elif rest[:1] == ["get"]:
        for name in rest[1:]:
            print(f"{name}:{int(chassis.has_power()) if name == 'power' else 0}")
    elif rest[:2] == ["set", "power"]:
        chassis.set_power(rest[2] != "0")


if __name__ == "__main__":
    main(sys.argv[1:])
