"""Frozen and killed helpers, and nonsense on the sockets, cost no alarm and no second start."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import unix_connect

from holdfast.lab.drills.inbox import Arrival
from holdfast.lab.drills.many_vms import find_pids
from holdfast.lab.drills.processes import signal_holder
from holdfast.lab.drills.stage import GROUP, RUN_FOLDER, Stage
from holdfast.lab.drills.stand_ins import StandIn, stand_ins
from holdfast.lab.hosts import Lab

pytestmark = pytest.mark.lab
NAME = f"bad-days-{os.getpid()}"
ALARM_LIMIT_S = 10.0
BACK_LIMIT_S = 45.0
NONSENSE = (
    *("", "{", "[]", "null", "\x00", "[" * 50_000, '{"is":"Nope"}', '{"is":"Question"}'),
    '{"is":"Question","id":1,"name":"grant","args":{"protection":[]}}',
    '{"is":"Question","id":1,"name":"recover","args":{"vm":{}}}',
    '{"is":"Question","id":1,"name":"last-words","args":{"vm":"../../../etc"}}',
)


@pytest.fixture(scope="module")
def scene() -> Iterator[tuple[Stage, StandIn]]:
    """One light VM, protected, on a lab host where Holdfast runs."""
    lab = Lab.up(1, name=NAME)
    try:
        host = lab.host("h1")
        with stand_ins(host, 1) as (vm,), Stage(host, print) as stage:
            _until(lambda: any(one.vm == vm.uuid for one in stage.ask_vms()), "it is seen")
            stage.cli("vm", "protect", vm.name, "--group", GROUP)
            yield stage, vm
    finally:
        lab.down()


def test_a_vm_comes_back_though_every_worker_of_the_agent_is_frozen(
    scene: tuple[Stage, StandIn],
) -> None:
    stage, vm = scene
    for worker in stage.agent.list_tree()[1:]:
        signal_holder(worker, signal.SIGSTOP)
    _kill_and_see_back(stage, vm)


def test_a_vm_comes_back_though_every_worker_of_the_agent_is_killed(
    scene: tuple[Stage, StandIn],
) -> None:
    stage, vm = scene
    for worker in stage.agent.list_tree()[1:]:
        signal_holder(worker, signal.SIGKILL)
    _kill_and_see_back(stage, vm)


def test_nonsense_on_the_sockets_hinders_nobody(scene: tuple[Stage, StandIn]) -> None:
    stage, vm = scene
    for program in ("agent", "controller"):
        for text in NONSENSE:
            _say(stage.host.path(f"{RUN_FOLDER}/{program}.sock"), text)
    _kill_and_see_back(stage, vm)


def _kill_and_see_back(stage: Stage, vm: StandIn) -> None:
    """Told once and at once, started once, and closed."""
    (old,) = find_pids([vm])
    since_ns = time.monotonic_ns()
    os.kill(old, signal.SIGKILL)

    def is_it(arrival: Arrival) -> bool:
        return arrival.vm == vm.uuid and arrival.is_raised

    assert stage.inbox.wait(is_it, since_ns=since_ns, limit_s=ALARM_LIMIT_S) is not None
    _until(
        lambda: any(
            one.vm == vm.uuid and one.is_running and not one.incident for one in stage.ask_vms()
        ),
        "it is back",
    )
    (new,) = find_pids([vm])  # Raises unless there is exactly one.
    assert new != old
    raised = [one.condition for one in stage.inbox.list_raised(since_ns) if one.vm == vm.uuid]
    assert raised == ["vm-gone"]
    counts = stage.inbox.count()
    assert (counts.gaps, counts.repeated) == (0, 0)


def _say(socket: Path, text: str) -> None:
    """Whatever comes back, and whoever hangs up."""
    with (
        contextlib.suppress(OSError, TimeoutError, EOFError, WebSocketException),
        unix_connect(str(socket), uri="ws://localhost/", open_timeout=5, close_timeout=1) as link,
    ):
        link.send(text)
        link.recv(timeout=0.2)


def _until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + BACK_LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline, f"not within {BACK_LIMIT_S:g} s: {what}"
        time.sleep(0.1)
