"""The wall clock of a host's Holdfast jumps, through libfaketime; the monotonic clock goes on.

Only programs that were started with `clock_environment` hear of it: the machine's own clock is
everybody's. What the kernel stamps (received datagrams) is not stepped.
"""

from pathlib import Path

from holdfast.lab.commands import LabError
from holdfast.lab.hosts import Host

CLOCK_FILE = "/run/holdfast-drill.clock"
MENDED_FOLDER = "/run/holdfast-drill.python"
# libfaketime cannot yet pass on how this Python sleeps: clock_nanosleep() until an instant.
MENDED_SLEEP = """import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""


def clock_environment(host: Host) -> dict[str, str]:
    """What a program there must be started with; raises LabError where libfaketime is not here."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        raise LabError("no clock can be stepped: libfaketime is not on this machine")
    host.path(MENDED_FOLDER).mkdir(exist_ok=True)
    host.path(f"{MENDED_FOLDER}/sitecustomize.py").write_text(MENDED_SLEEP)
    return {
        "PYTHONPATH": MENDED_FOLDER,
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": CLOCK_FILE,
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def step_clock(host: Host, by_s: int) -> None:
    """Let the host's wall clock differ by so much from the true one, from now on."""
    beside = host.path(f"{CLOCK_FILE}.new")
    beside.write_text(f"{by_s:+d}\n")
    beside.replace(host.path(CLOCK_FILE))
