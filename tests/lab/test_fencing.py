"""Real fence agents switch real hosts off through real BMCs, and broken BMCs prove nothing."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from holdfast.facts.fencing import FenceDevice
from holdfast.facts.tenure import DeathProof, ProofKind
from holdfast.lab.bmc.board import PASSWORD, Bmc
from holdfast.lab.hosts import STATE_FOLDER, Host, Lab
from holdfast.lab.namespaces import find_marked_processes, read_start_ticks
from holdfast.lab.problem_makers.bmc_hung import hang_bmc, wake_bmc
from holdfast.lab.problem_makers.bmc_power_shared import cut_shared_power
from holdfast.lab.problem_makers.bmc_slow import slow_bmc
from holdfast.lab.problem_makers.bmc_stuck import mend_bmc, stick_bmc
from tests.adapters.contract_fencer import FENCE, LATE_S, assert_sentence

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(240)]

NAME = f"fencing-{os.getpid()}"
PROGRAM = Path(__file__).with_name("fence_from_host.py")
LIMIT_S = 60.0
SHORT_S = 8
KINDS = ["ipmi", "redfish"]


class Told(msgspec.Struct, kw_only=True):
    """What the fencer said on the controller's host."""

    took_s: float
    failure: str = ""
    power: str = ""
    proof: DeathProof | None = None


@dataclass(frozen=True)
class Site:
    """A controller's host, a host that is fenced from there, and its BMC."""

    controller: Host
    victim: Host
    bmc: Bmc

    def device(self, kind: str, deadline_s: int = 40, **options: str) -> FenceDevice:
        device: FenceDevice = getattr(self.bmc, kind)
        options = {**device.options, **options}
        return msgspec.structs.replace(device, options=options, deadline_s=deadline_s)

    def ask(self, what: str, device: FenceDevice) -> Told:
        fence = msgspec.structs.replace(FENCE, host=self.victim.name, name=self.victim.name)
        given = msgspec.json.encode({"device": device, "fence": fence}).decode()
        words = [sys.executable, str(PROGRAM), what]
        env = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        done = self.controller.run(words, stdin_text=given, timeout_s=LIMIT_S, env=env)
        return msgspec.convert(json.loads(done.stdout), Told)

    def boot(self) -> None:
        if not self.victim.is_powered_on:
            self.victim.power_on()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    made = Lab.up(2, name=NAME)
    try:
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def bmc(lab: Lab) -> Bmc:
    made = Bmc(lab.hosts[1])
    made.begin()
    return made


@pytest.fixture
def site(lab: Lab, bmc: Bmc) -> Site:
    made = Site(lab.hosts[0], lab.hosts[1], bmc)
    made.boot()
    return made


def wait_until(what: str, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_a_running_host_is_switched_off_and_read_back(site: Site, kind: str) -> None:
    device = site.device(kind)
    assert site.ask("check", device).failure == ""
    assert site.ask("power", device).power == "on"
    pids = site.victim.list_pids()
    assert len(pids) > 1

    told = site.ask("off", device)
    assert told.failure == ""
    assert told.proof is not None
    assert (told.proof.kind, told.proof.host) == (ProofKind.POWER, "h2")
    assert (told.proof.boot, told.proof.earlier) == (FENCE.boot, FENCE.earlier)
    assert told.proof.shown[0] == f"{device.agent} switched the power of h2 off"
    assert [pid for pid in pids if read_start_ticks(pid) is not None] == []
    assert not site.victim.is_powered_on

    assert site.ask("power", device).power == "off", "the BMC outlives its host"
    again = site.ask("off", device)
    assert again.proof is not None
    assert again.proof.shown[0] == f"{device.agent} found the power of h2 off already"


@pytest.mark.parametrize("kind", KINDS)
def test_a_bmc_boots_its_host(site: Site, kind: str) -> None:
    """By hand: Holdfast never does."""
    site.victim.power_cut()
    device = site.device(kind)
    pairs = {"action": "on", **device.options, **device.secrets}
    lines = "".join(f"{name}={value}\n" for name, value in pairs.items())
    site.controller.run([f"/usr/sbin/{device.agent}"], stdin_text=lines, timeout_s=LIMIT_S)
    wait_until("h2 has power", lambda: site.victim.is_powered_on)
    ready = ["virsh", "--connect", "qemu:///system", "version"]
    wait_until("h2 is up", lambda: site.victim.run(ready, check=False).returncode == 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bmc_that_is_stuck_proves_nothing(site: Site, kind: str) -> None:
    stick_bmc(site.bmc)
    try:
        told = site.ask("off", site.device(kind, SHORT_S, power_timeout="3"))
    finally:
        mend_bmc(site.bmc)
    assert_failed_in_time(told, f"fence_{'ipmilan' if kind == 'ipmi' else kind}")
    assert site.victim.is_powered_on


@pytest.mark.parametrize("kind", KINDS)
def test_a_bmc_that_hangs_proves_nothing(site: Site, kind: str) -> None:
    hang_bmc(site.bmc)
    try:
        told = site.ask("off", site.device(kind, SHORT_S))
    finally:
        wake_bmc(site.bmc)
    assert_failed_in_time(told, "could not switch h2 off")
    assert site.victim.is_powered_on
    wait_until("it answers again", lambda: site.ask("power", site.device(kind)).power == "on")


@pytest.mark.parametrize("kind", KINDS)
def test_a_bmc_that_is_too_slow_proves_nothing(site: Site, kind: str) -> None:
    slow_bmc(site.bmc, 15.0)
    try:
        told = site.ask("off", site.device(kind, SHORT_S))
        # Nobody asks any more; what it was asked it may still carry out.
        assert_failed_in_time(told, "could not switch h2 off")
    finally:
        mend_bmc(site.bmc)
        site.bmc.power_cut()
        site.bmc.begin()


@pytest.mark.parametrize("kind", KINDS)
def test_a_bmc_that_is_a_little_slow_is_waited_for(site: Site, kind: str) -> None:
    slow_bmc(site.bmc, 0.7)
    try:
        told = site.ask("off", site.device(kind))
    finally:
        mend_bmc(site.bmc)
    assert told.proof is not None, told.failure
    assert not site.victim.is_powered_on


@pytest.mark.parametrize("kind", KINDS)
def test_a_host_that_died_with_its_bmc_is_not_proved_dead(site: Site, kind: str) -> None:
    cut_shared_power(site.bmc)
    try:
        told = site.ask("off", site.device(kind, SHORT_S))
        assert not site.victim.is_powered_on
        assert_failed_in_time(told, "could not switch h2 off")
    finally:
        site.bmc.begin()
    assert site.ask("off", site.device(kind)).proof is not None, "now that it answers"


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_secret_is_said_and_not_shown(site: Site, kind: str) -> None:
    device = msgspec.structs.replace(
        site.device(kind, SHORT_S), secrets={"password": "not-the-word"}
    )
    told = site.ask("off", device)
    assert_failed_in_time(told, "could not switch h2 off")
    assert "not-the-word" not in told.failure
    assert PASSWORD not in told.failure
    assert site.victim.is_powered_on


def assert_failed_in_time(told: Told, words: str) -> None:
    assert told.proof is None
    assert_sentence(told.failure)
    assert words in told.failure
    assert told.took_s < SHORT_S + LATE_S, told.failure


def test_nothing_of_a_bmc_is_left_when_its_lab_is_taken_down() -> None:
    name = f"fencing-gone-{os.getpid()}"
    lab = Lab.up(1, name=name)
    try:
        bmc = Bmc(lab.hosts[0])
        bmc.begin()
        hang_bmc(bmc)
        marked = find_marked_processes(name)
        command = (Path(f"/proc/{holder.pid}/cmdline").read_text() for holder in marked)
        assert sum("ipmi_sim" in text or "bmc.redfish" in text for text in command) == 2
    finally:
        Lab.take_down(name)
    assert find_marked_processes(name) == []
    assert [holder for holder in marked if holder.is_alive()] == []
    assert not (STATE_FOLDER / name).exists()
