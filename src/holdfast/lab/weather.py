"""A host's cable goes through bad weather: late, doubled, disordered and lost packets."""

import json
import select
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from holdfast.lab.cables import EVERY_PLANE
from holdfast.lab.commands import LabError
from holdfast.lab.host import Host, find_wire
from holdfast.lab.network import LabPlane, find_plane, run_ip
from holdfast.lab.outside import Outside

CARRIER_PROGRAM = Path(__file__).with_name("carrier.py")
START_LIMIT_S = 10.0


@dataclass(frozen=True)
class Weather:
    """Each packet is late by `delay_ms` and up to `jitter_ms` more, which disorders them."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    doubled_percent: float = 0.0
    lost_percent: float = 0.0
    seed: int = 0


@contextmanager
def bad_weather(
    host: Host, weather: Weather, planes: Iterable[str] = EVERY_PLANE
) -> Iterator[None]:
    """For the length of a block, both ways; the host must keep its power."""
    with ExitStack() as exits:
        for plane in map(find_plane, planes):
            exits.enter_context(_carried(host, plane, weather))
        yield


@contextmanager
def _carried(host: Host, plane: LabPlane, weather: Weather) -> Iterator[None]:
    """The cable's end goes to a program, and the program's other end into the wire."""
    wire, cable = find_wire(host.lab), plane.cable(host.name)
    near, far = f"{cable}-near", f"{cable}-far"
    run_ip(
        wire,
        f"link add {near} type veth peer name {far}",
        f"link set {far} master {plane.wire} up",
        f"link set {near} up",
        f"link set {cable} nomaster",
    )
    words = [sys.executable, "-I", "-S", str(CARRIER_PROGRAM), cable, near]
    carrier = Outside(host.lab).popen(
        [*words, json.dumps(asdict(weather))],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert carrier.stdout is not None
        if not select.select([carrier.stdout], [], [], START_LIMIT_S)[0]:
            raise LabError(f"{host.name}: the carrier of plane {plane.name} did not start")
        if carrier.stdout.readline() != b"carries\n":
            raise LabError(f"{host.name}: the carrier of plane {plane.name} ended")
        yield
    finally:
        carrier.kill()
        carrier.communicate()
        run_ip(wire, f"link del {near}", f"link set {cable} master {plane.wire}")
