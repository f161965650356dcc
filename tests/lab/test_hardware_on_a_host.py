"""A disk that warns of its failure is an alarm at the VIM, from smartctl's own words."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from holdfast.adapters.drivers.smartctl import PROGRAMS
from holdfast.adapters.drivers.sysfs_parts import disk_names
from holdfast.lab.drills.stage import RUN_FOLDER, Stage
from holdfast.lab.hosts import Lab
from tests.recordings.hardware_records import FOLDER, read_records_of

pytestmark = [pytest.mark.lab, pytest.mark.slow]
LIMIT_S = 60.0


@pytest.mark.skipif(not disk_names(), reason="this machine has no disk of its own")
def test_a_disk_that_warns_is_told() -> None:
    """The machine's disks are well: what smartctl says is a record of one that is not."""
    record = read_records_of(FOLDER / "nvme_warns.records")[0]
    program = next(one for one in PROGRAMS if Path(one).exists())
    lab = Lab.up(1, name=f"hardware-{os.getpid()}")
    try:
        host = lab.host("h1")
        (host.path("/run") / "said.json").write_text(record.text)
        script = host.path("/run") / "smartctl"
        script.write_text("#!/bin/sh\ncat /run/said.json\nexit 8\n")
        script.chmod(0o755)
        host.run(["mount", "--bind", "/run/smartctl", program])
        with Stage(host, print) as stage:
            stage.kill_agent()
            settings = host.path(RUN_FOLDER) / "holdfast.toml"
            with settings.open("a") as opened:
                opened.write("\n[hardware]\nwatch = true\nperiod_s = 10\n")
            stage.start_agent()
            [alarm] = _alarms(stage)
            assert "it is not reliable any more" in alarm["text"]
            assert alarm["details"]["advice"] == "drain"
            stage.kill_agent()
            stage.start_agent()  # The alarm stands, and is no second one.
            time.sleep(1)
            assert [one["key"] for one in _alarms(stage)] == [alarm["key"]]
    finally:
        lab.down()


def _alarms(stage: Stage) -> list[dict[str, Any]]:
    """Those of disks that are open, as soon as there are any."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        page = json.loads(stage.cli("alarms", "--json"))
        found = [one["alarm"] for one in page["alarms"]]
        if of_disks := [one for one in found if one["condition"] == "nvme-warning"]:
            return of_disks
        assert time.monotonic() < deadline, page
        time.sleep(0.2)
