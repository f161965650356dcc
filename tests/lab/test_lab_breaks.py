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
# A closed port is refused by the other kernel, whatever runs there; a lost packet is not.
KNOCK = """
import socket, sys
refused = 0
for _ in range(int(sys.argv[2])):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.settimeout(0.3)
        door.connect((sys.argv[1], 9))
        try:
            door.send(b"?")
            door.recv(9)
        except ConnectionRefusedError:
            refused += 1
        except OSError:
            pass
print(refused)
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


def hears(host: Host, other: Host, plane: str = "a", times: int = 1) -> int:
    words = [sys.executable, "-c", KNOCK, other.address_on(plane), str(times)]
    return int(host.run(words).stdout)


def test_hosts_reach_each_other_on_both_planes_by_address_and_name(lab: Lab) -> None:
    first, second, _ = lab.hosts
    assert [hears(first, second, plane) for plane in ("a", "b")] == [1, 1]
    assert first.run(["getent", "hosts", "h2"]).stdout.split()[0] == second.address


def test_a_cable_is_cut_on_one_plane_or_all(lab: Lab) -> None:
    first, second, _ = lab.hosts
    cut(second, ["a"])
    assert [hears(first, second, plane) for plane in ("a", "b")] == [0, 1]
    assert list_cuts(second) == ["a"]
    cut(second)
    assert [hears(first, second, plane) for plane in ("a", "b")] == [0, 0]
    mend(second)
    assert [hears(first, second, plane) for plane in ("a", "b")] == [1, 1]
    assert list_cuts(second) == []


def test_a_cable_is_cut_one_way_only(lab: Lab) -> None:
    first, second, _ = lab.hosts
    listen = "import socket; d = socket.socket(2, 2); d.bind(('', 4)); d.settimeout(2); "
    listen += "print('bound', flush=True); print(d.recv(9).decode(), flush=True)"
    process = second.popen([sys.executable, "-c", listen], stdout=-1, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "bound\n"
        cut(second, way=Way.FROM_HOST)
        assert hears(first, second) == 0
        say = f"import socket; socket.socket(2, 2).sendto(b'heard', ('{second.address}', 4))"
        first.run([sys.executable, "-c", say])
        assert process.stdout.readline() == "heard\n"
    finally:
        mend(second)
        process.kill()
        process.communicate()


def test_some_packets_are_lost(lab: Lab) -> None:
    first, second, _ = lab.hosts
    cut(second, loss=Loss(percent=50))
    try:
        assert 0 < hears(first, second, times=20) < 20
    finally:
        mend(second)


def test_packets_are_late_doubled_and_disordered(lab: Lab) -> None:
    first, second, _ = lab.hosts
    listen = "import socket; d = socket.socket(2, 2); d.bind(('', 4)); d.settimeout(0.5)\n"
    listen += "print('bound', flush=True)\ntry:\n while True: print(d.recv(9).decode())\n"
    listen += "except TimeoutError: pass\nprint('end', flush=True)"
    say = "import socket; s = socket.socket(2, 2)\nfor n in range(100): "
    say += f"s.sendto(str(n).encode(), ('{second.address}', 4))"
    with bad_weather(second, Weather(delay_ms=10, jitter_ms=20, doubled_percent=20, seed=1)):
        process = second.popen([sys.executable, "-c", listen], stdout=-1, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "bound\n"
        first.run([sys.executable, "-c", say])
        heard = [int(line) for line in process.communicate(timeout=20)[0].split()[:-1]]
    assert set(heard) == set(range(100))
    assert len(heard) > 100
    assert heard != sorted(heard)
    assert hears(first, second, times=3) > 0


def test_two_groups_of_hosts_are_split(lab: Lab) -> None:
    first, second, third = lab.hosts
    cut_between([first], [second])
    try:
        assert (hears(first, second), hears(second, first, "b")) == (0, 0)
        assert (hears(first, third), hears(third, second)) == (1, 1)
    finally:
        mend(first)
    assert hears(first, second, times=10) > 0  # The kernel asks for the way once a second.


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
        assert hears(first, second, times=5) >= 1  # The first may wait for an address.
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
    assert hears(first, second) == 1


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
