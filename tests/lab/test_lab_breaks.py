"""A lab host's cables, power and processes break as those of a real host do, and mend again."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.lab.cables import Loss, Way, cut, cut_between, list_cuts, mend
from holdfast.lab.hosts import Host, Lab
from holdfast.lab.namespaces import find_marked_processes, read_start_ticks
from holdfast.lab.weather import Weather, bad_weather

pytestmark = pytest.mark.lab
NAME = f"breaks-{os.getpid()}"
WAY_LIMIT_S = 10.0
# A closed port is refused by the other kernel, whatever runs there; a lost packet is not.
KNOCK = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
    door.settimeout(0.3)
    door.connect((sys.argv[1], 9))
    try:
        door.send(b"?")
        door.recv(9)
    except ConnectionRefusedError:
        print("refused")
    except OSError:
        pass
"""
LISTEN = """
import socket
door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
door.bind(("", 4))
print("bound", flush=True)
door.settimeout(20)
try:
    while True:
        print(door.recv(9).decode(), flush=True)
        door.settimeout(0.5)
except TimeoutError:
    print("end", flush=True)
"""
SAY = """
import socket, sys
door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(int(sys.argv[2])):
    door.sendto(str(number).encode(), (sys.argv[1], 4))
"""
SCRIPT = """#!/bin/sh
echo "$1" >> /var/lib/holdfast/said
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    made = Lab.up(3, name=NAME)
    try:
        yield made
    finally:
        made.down()


def hears(host: Host, other: Host, plane: str = "a") -> bool:
    words = [sys.executable, "-c", KNOCK, other.address_on(plane)]
    return host.run(words).stdout == "refused\n"


def wait_heard(host: Host, other: Host, plane: str = "a") -> None:
    """A kernel that found no way while there was none asks for it anew once a second."""
    deadline = time.monotonic() + WAY_LIMIT_S
    while not hears(host, other, plane):
        way = host.run(["ip", "neigh", "show"]).stdout
        assert time.monotonic() < deadline, f"{other.name} is not heard on plane {plane}: {way}"


def exchange(host: Host, other: Host, count: int) -> list[int]:
    """The numbers that `other` heard of the first `count` that `host` said, in that order."""
    process = other.popen([sys.executable, "-c", LISTEN], stdout=-1, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "bound\n"
        host.run([sys.executable, "-c", SAY, other.address, str(count)])
        return [int(line) for line in process.communicate(timeout=30)[0].split()[:-1]]
    finally:
        process.kill()
        process.wait()


def test_hosts_reach_each_other_on_both_planes_by_address_and_name(lab: Lab) -> None:
    first, second, _ = lab.hosts
    for plane in ("a", "b"):
        wait_heard(first, second, plane)
    assert first.run(["getent", "hosts", "h2"]).stdout.split()[0] == second.address


def test_a_cable_is_cut_on_one_plane_or_all(lab: Lab) -> None:
    first, second, _ = lab.hosts
    cut(second, ["a"])
    assert not hears(first, second, "a")
    wait_heard(first, second, "b")
    assert list_cuts(second) == ["a"]
    cut(second)
    assert not any(hears(first, second, plane) for plane in ("a", "b"))
    mend(second)
    for plane in ("a", "b"):
        wait_heard(first, second, plane)
    assert list_cuts(second) == []


def test_a_cable_is_cut_one_way_only(lab: Lab) -> None:
    first, second, _ = lab.hosts
    wait_heard(first, second)  # While it is cut the way could not be learnt: that needs an answer.
    cut(second, way=Way.FROM_HOST)
    try:
        assert not hears(first, second)
        assert exchange(first, second, 1) == [0]
    finally:
        mend(second)


def test_some_packets_are_lost(lab: Lab) -> None:
    first, second, _ = lab.hosts
    wait_heard(first, second)
    cut(second, loss=Loss(percent=50), way=Way.TO_HOST)
    try:
        assert 50 < len(exchange(first, second, 200)) < 150
    finally:
        mend(second)
    assert len(exchange(first, second, 200)) == 200


def test_packets_are_late_doubled_and_disordered(lab: Lab) -> None:
    first, second, _ = lab.hosts
    with bad_weather(second, Weather(delay_ms=10, jitter_ms=20, doubled_percent=20, seed=1)):
        heard = exchange(first, second, 100)
    assert set(heard) == set(range(100))
    assert len(heard) > 100
    assert heard != sorted(heard)
    wait_heard(first, second)


def test_two_groups_of_hosts_are_split(lab: Lab) -> None:
    first, second, third = lab.hosts
    cut_between([first], [second])
    try:
        assert not hears(first, second)
        assert not hears(second, first, "b")
        wait_heard(first, third)
        wait_heard(third, second)
    finally:
        mend(first)
    wait_heard(first, second)


def test_a_frozen_host_runs_nothing_and_its_kernel_answers(lab: Lab) -> None:
    first, second, _ = lab.hosts
    count = "while :; do date +%N > /run/ticks; done"
    process = second.popen(["sh", "-c", count])
    try:
        ticks = second.path("/run/ticks")
        deadline = time.monotonic() + 10
        while not ticks.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        second.freeze()
        wait_heard(first, second)
        before = ticks.read_text()
        time.sleep(0.2)  # Long enough for a hundred ticks.
        assert ticks.read_text() == before
        second.thaw()
        while ticks.read_text() == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        second.thaw()
        process.kill()
        process.wait()


def test_a_frozen_host_can_lose_its_power(lab: Lab) -> None:
    first, second, _ = lab.hosts
    pids = second.list_pids()
    second.freeze()
    second.power_cut()
    assert all(read_start_ticks(pid) is None for pid in pids)
    second.power_on()
    wait_heard(first, second)


def test_a_lab_with_a_frozen_host_is_taken_away() -> None:
    name = f"cold-{os.getpid()}"
    lab = Lab.up(1, name=name)
    lab.hosts[0].freeze()
    Lab.take_down(name)
    assert find_marked_processes(name) == []
    assert name not in Lab.list_names()
    assert list(Path("/sys/fs/cgroup").glob(f"*/holdfast-lab-{name}-*")) == []


def test_a_host_removes_nothing_from_the_machine_s_cache(lab: Lab) -> None:
    cache = Path("/var/cache/holdfast")
    if not cache.is_dir():
        pytest.skip("this machine has no cache yet")
    before = sorted(cache.iterdir())
    host = lab.hosts[0]
    assert sorted(host.run(["ls", str(cache)]).stdout.split()) == [one.name for one in before]
    host.run(["sh", "-c", f"rm -rf {cache}/*; touch {cache}/own"])
    assert sorted(cache.iterdir()) == before
    assert host.run(["ls", str(cache)]).stdout.split() == ["own"]


def test_a_host_shuts_down_in_order_and_starts_its_own_services(lab: Lab) -> None:
    _, host, other = lab.hosts
    assert host.run(["ls", "/etc/init.d"]).stdout == ""
    script = host.path("/etc/init.d/own")
    script.write_text(SCRIPT)
    script.chmod(0o755)
    host.run(["mkdir", "/run/holdfast"])
    # The mark is seen by who is asked to end, and by nobody later.
    watcher = 'trap "ls /run/holdfast > /var/lib/holdfast/seen; exit" TERM; echo;'
    watcher += " while :; do sleep .05; done"
    process = host.popen(["sh", "-c", watcher], stdout=-1, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    host.reboot()
    process.communicate(timeout=10)
    assert host.path("/var/lib/holdfast/seen").read_text() == "host-stops\n"
    assert host.path("/var/lib/holdfast/said").read_text().split() == ["stop", "start"]
    assert not host.path("/run/holdfast").exists()
    assert other.run(["ls", "/etc/init.d"]).stdout == ""
    assert not os.path.exists("/etc/init.d/own")
