"""The sample guest answers, and every problem maker does to it what its name says."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.lab.commands import LabError
from holdfast.lab.event_watch import EventWatch
from holdfast.lab.guests import Guest, plan_guest
from holdfast.lab.hosts import Host, Lab
from holdfast.lab.namespaces import read_start_ticks
from holdfast.lab.problem_makers.crash_dumped import dump_core, is_dumping, remove_cores
from holdfast.lab.problem_makers.disk_failed import BreakableDisk, fail_disk
from holdfast.lab.problem_makers.guest_panicked import panic_guest
from holdfast.lab.problem_makers.guest_stuck import starve_guest
from holdfast.lab.problem_makers.guest_watchdog import stop_petting_watchdog
from holdfast.lab.problem_makers.qemu_killed import kill_qemu
from holdfast.lab.problem_makers.qemu_oom import fill_memory, small_memory_cgroup
from holdfast.lab.problem_makers.qemu_stopped import continue_qemu, stop_qemu
from holdfast.lab.problem_makers.stopped_on_purpose import WAYS, choose_target

pytestmark = [pytest.mark.lab, pytest.mark.slow]
NAME = f"guests-{os.getpid()}"
# libvirt's details of `stopped`.
SHUT_DOWN, DESTROYED, MIGRATED, SAVED, FAILED = 0, 1, 3, 4, 5


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    made = Lab.up(2, name=NAME)
    yield made
    made.down()


@pytest.fixture(scope="module")
def host(lab: Lab) -> Host:
    return lab.hosts[0]


@pytest.fixture(scope="module")
def watch(host: Host) -> Iterator[EventWatch]:
    with EventWatch(host) as watch:
        yield watch


@pytest.fixture(scope="module")
def shared_guest(host: Host) -> Guest:
    """One guest for all tests that leave it running, or that end it in any way."""
    return Guest.define(host, plan_guest(NAME, "shared"))


@pytest.fixture
def guest(shared_guest: Guest) -> Iterator[Guest]:
    """The shared guest, running and answering."""
    if shared_guest.state() != "running":
        shared_guest.start()
    shared_guest.wait_answer()
    yield shared_guest
    if shared_guest.state() in ("crashed", "paused"):
        shared_guest.virsh("destroy")


def test_a_guest_on_the_bridge_answers_over_tcp_and_from_its_agent(lab: Lab, host: Host) -> None:
    plan = plan_guest(NAME, "web", bridge="br0", address="10.77.0.101/24")
    web = Guest.define(host, plan).start_and_answer()
    assert "i6300" in web.execute(["/bin/dmesg"])
    assert web.execute(["/bin/ls", "/dev/watchdog"]).strip() == "/dev/watchdog"
    fetch = "import urllib.request as u; print(u.urlopen('http://10.77.0.101/', timeout=5).read())"
    assert "sample guest answers" in lab.hosts[1].run(["python3", "-c", fetch]).stdout
    assert "READY" in web.read_console()
    with pytest.raises(LabError, match="failed"):
        web.execute(["/bin/false"])
    web.end()
    assert not host.run(["sh", "-c", "ls /sys/class/net | grep vnet"], check=False).stdout


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_crashed_qemu_is_a_failure(
    guest: Guest, watch: EventWatch, number: signal.Signals
) -> None:
    pid = guest.qemu_pid()
    injected_ns = kill_qemu(guest, number)
    stopped = watch.wait("stopped", guest="shared", since_ns=injected_ns)
    assert stopped.detail == FAILED
    assert read_start_ticks(pid) is None
    assert "SHUTDOWN" not in [each.word for each in watch.list_heard("shared", injected_ns)]


def test_a_core_dump_takes_time_and_stays_on_its_host(host: Host, watch: EventWatch) -> None:
    plan = plan_guest(
        NAME, "dumper", memory_mib=1024, has_touched_memory=True, is_memory_dumped=True
    )
    dumper = Guest.define(host, plan)
    dumper.start()
    pid = dumper.qemu_pid()
    try:
        injected_ns = dump_core(dumper)
    except LabError as error:
        dumper.end()
        pytest.skip(str(error))
    was_dumping = False
    while read_start_ticks(pid) is not None:
        was_dumping = was_dumping or is_dumping(pid)
    assert was_dumping
    assert watch.wait("stopped", guest="dumper", since_ns=injected_ns).detail == FAILED
    assert remove_cores(dumper) > 1024 * 1024 * 1024
    assert not list(Path("/").glob("core*"))
    dumper.end()


def test_a_terminated_qemu_says_that_the_host_asked(guest: Guest, watch: EventWatch) -> None:
    injected_ns = kill_qemu(guest, signal.SIGTERM)
    shutdown = watch.wait("SHUTDOWN", guest="shared", since_ns=injected_ns)
    assert shutdown.detail == {"guest": False, "reason": "host-signal"}
    assert watch.wait("stopped", guest="shared", since_ns=injected_ns).detail == SHUT_DOWN


def test_a_frozen_qemu_answers_nothing_until_it_goes_on(guest: Guest) -> None:
    stop_qemu(guest)
    with pytest.raises(LabError):
        guest.wait_answer(limit_s=1.5)
    continue_qemu(guest)
    guest.wait_answer()


def test_a_panicked_guest_tells_and_can_be_photographed(guest: Guest, watch: EventWatch) -> None:
    injected_ns = panic_guest(guest)
    watch.wait("GUEST_PANICKED", guest="shared", since_ns=injected_ns)
    watch.wait("crashed", guest="shared", since_ns=injected_ns)
    assert guest.state() == "crashed"
    assert "sysrq_handle_crash" in guest.read_console()
    guest.virsh("screenshot", "/run/panic.png")
    assert guest.host.path("/run/panic.png").stat().st_size > 1000


def test_a_starved_guest_is_silent_while_its_cpu_spins(guest: Guest) -> None:
    starve_guest(guest)
    wait_silent(guest)
    before = read_cpu_ticks(guest)
    with pytest.raises(LabError, match="no answer"):
        guest.wait_answer(limit_s=2)
    assert read_cpu_ticks(guest) - before > 100  # of the 200 and more that passed
    assert guest.state() == "running"
    guest.virsh("destroy")


def wait_silent(guest: Guest) -> None:
    """What the guest was doing may take a moment to end."""
    for _ in range(10):
        try:
            guest.wait_answer(limit_s=1)
        except LabError:
            return
    pytest.fail("the guest still answers")


def read_cpu_ticks(guest: Guest) -> int:
    stat = Path(f"/proc/{guest.qemu_pid()}/stat").read_text().rpartition(")")[2].split()
    return int(stat[11]) + int(stat[12])


def test_a_watchdog_that_is_not_petted_fires(guest: Guest, watch: EventWatch) -> None:
    injected_ns = stop_petting_watchdog(guest, timeout_s=2)
    fired = watch.wait("WATCHDOG", guest="shared", since_ns=injected_ns)
    assert fired.detail == {"action": "none"}
    assert fired.at_ns - injected_ns > 1_500_000_000
    guest.virsh("destroy")


@pytest.mark.parametrize(("policy", "state"), [("stop", "paused"), ("report", "running")])
def test_a_broken_disk_stops_or_only_reports(
    host: Host, watch: EventWatch, policy: str, state: str
) -> None:
    name = f"disk-{policy}"
    disk = BreakableDisk.serve(host, name)
    plan = plan_guest(NAME, name, disk=disk.as_guest_disk("stop" if policy == "stop" else "report"))
    guest = Guest.define(host, plan).start_and_answer()
    guest.execute(["/bin/dd", "if=/dev/zero", "of=/dev/vda", "bs=4k", "count=1", "conv=fsync"])
    injected_ns = fail_disk(guest, disk)
    error = watch.wait("BLOCK_IO_ERROR", guest=name, since_ns=injected_ns)
    assert error.detail["action"] == policy
    assert guest.state() == state
    disk.mend()
    if state == "paused":
        guest.virsh("resume")
    guest.wait_answer()
    guest.end()
    disk.end()


def test_the_kernel_kills_a_qemu_that_is_out_of_memory(guest: Guest, watch: EventWatch) -> None:
    try:
        with small_memory_cgroup(guest):
            injected_ns = fill_memory(guest)
            assert watch.wait("stopped", guest="shared", since_ns=injected_ns).detail == FAILED
    except LabError as error:
        if "memory cgroup" in str(error):
            pytest.skip(str(error))
        raise


# The last `stopped` of each way, and whether the guest runs on this host afterwards.
ENDS = {
    "guest-power-off": (SHUT_DOWN, False),
    "guest-reboot": (None, True),
    "shutdown-acpi": (SHUT_DOWN, False),
    "shutdown-agent": (SHUT_DOWN, False),
    "destroy": (DESTROYED, False),
    "reset": (None, True),
    "suspend-resume": (None, True),
    "save-restore": (SAVED, True),
    "managedsave": (SAVED, False),
}


@pytest.mark.parametrize("way", ENDS)
def test_a_wanted_stop_is_what_its_name_says(guest: Guest, watch: EventWatch, way: str) -> None:
    detail, runs_on = ENDS[way]
    injected_ns = WAYS[way](guest)
    if detail is not None:
        assert watch.wait("stopped", guest="shared", since_ns=injected_ns).detail == detail
    elif way != "suspend-resume":
        watch.wait("RESET", guest="shared", since_ns=injected_ns)
    assert guest.state() == ("running" if runs_on else "shut off")
    if runs_on:
        guest.wait_answer()


def test_a_guest_migrates_to_another_host_and_answers_there(
    guest: Guest, watch: EventWatch
) -> None:
    injected_ns = WAYS["migrate"](guest)
    assert watch.wait("stopped", guest="shared", since_ns=injected_ns).detail == MIGRATED
    moved = Guest(choose_target(guest.host), guest.plan)
    moved.wait_answer()
    moved.end()
    Guest.define(guest.host, guest.plan)


def test_every_way_to_stop_a_guest_is_tried() -> None:
    assert set(WAYS) == {*ENDS, "migrate"}
