"""The wall clock of a host's Holdfast jumps, while the monotonic clock goes on.

A machine has one wall clock, which is everybody's: so what jumps is what Python says of it, in
programs that were started with `clock_environment`. What the kernel stamps is not stepped.
"""

import struct
from pathlib import Path

from holdfast.lab.hosts import Host

FOLDER = "/run/holdfast-drill.clock"
OFFSET = struct.Struct("=q")
NS_PER_S = 1_000_000_000
# Python runs this at its start, from PYTHONPATH, before any program has asked for the time.
STEPPED = f"""import mmap, struct, time
with open("{FOLDER}/offset_ns", "rb") as file:
    offset = mmap.mmap(file.fileno(), {OFFSET.size}, prot=mmap.PROT_READ)
true_ns = time.time_ns
time.time_ns = lambda: true_ns() + struct.unpack_from("{OFFSET.format}", offset)[0]
time.time = lambda: time.time_ns() / 1e9
"""


def clock_environment(host: Host) -> dict[str, str]:
    """What a program there must be started with, so that its clock can be stepped."""
    host.path(FOLDER).mkdir(exist_ok=True)
    host.path(f"{FOLDER}/offset_ns").write_bytes(OFFSET.pack(0))
    host.path(f"{FOLDER}/sitecustomize.py").write_text(STEPPED)
    return {"PYTHONPATH": FOLDER}


def step_clock(host: Host, by_s: int) -> None:
    """Let the host's wall clock differ by so much from the true one, from now on."""
    path: Path = host.path(f"{FOLDER}/offset_ns")
    with path.open("r+b") as file:  # In place: programs have it mapped.
        file.write(OFFSET.pack(by_s * NS_PER_S))
