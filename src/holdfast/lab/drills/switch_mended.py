"""How long nothing comes through a switch that is killed and restarted, and what it lost."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.lab import traffic, vswitch
from holdfast.lab.commands import LabError
from holdfast.lab.drills.figures import NS_PER_MS
from holdfast.lab.host import Host, find_wire

RECORD = "/run/vswitch.json"
LIMIT_S = 40.0
BEFORE_S, ASK_S = 1.0, 8.0
SLACK_NS = 100 * NS_PER_MS  # The last answer before the kill.
STILL_ON_ITS_WAY_NS = 50_000_000


@dataclass(frozen=True)
class Outage:
    """`longest_ms`: how long nothing came through; None: nothing came any more while it was looked
    at. `flows`: how many of them the bridge has afterwards, and `of` how many it had."""

    killed_ns: int
    longest_ms: float | None
    flows: int
    of: int


def mend(host: Host, act: str, *words: str) -> str:
    """Do one act of mending on the host; returns what it says. Raises LabError."""
    argv = [sys.executable, "-m", "holdfast.lab.switch_mending", RECORD, act, *words]
    return host.run(argv, timeout_s=LIMIT_S).stdout.strip()


def restarted_after_death(host: Host, how: str) -> Outage:
    """Kill ovs-vswitchd while its guard waits, which restarts it: `mended`, `plain`, or `agent`:
    the host's own."""
    had = vswitch.count_flows(host)
    if how == "agent":
        with _asking(host) as asking:
            return _killed(host, asking, had)
    words = ["after_death", how, vswitch.SWITCH_PID, *vswitch.START_SWITCH]
    argv = [sys.executable, "-m", "holdfast.lab.switch_mending", RECORD, *words]
    with _asking(host) as asking, _begun(host.popen(argv, **_PIPES), "waits") as guard:
        outage = _killed(host, asking, had)
        said, words_ = guard.communicate(timeout=LIMIT_S)
        if guard.returncode != 0:
            raise LabError(f"{host.name}: {said.strip()} {words_.strip()}")
        return outage


def _killed(host: Host, asking: subprocess.Popen[str], had: int) -> Outage:
    time.sleep(BEFORE_S)
    killed_ns = vswitch.kill_daemon(host)
    out, _ = asking.communicate(timeout=LIMIT_S)
    told = json.loads(out.splitlines()[-1])
    # What was on its way still arrives; a short gap just before the end is no outage that ended.
    came_again = told["last_ns"] > killed_ns + STILL_ON_ITS_WAY_NS
    has_ended = came_again and told["longest_from_ns"] >= killed_ns - SLACK_NS
    return Outage(
        killed_ns=killed_ns,
        longest_ms=told["longest_ms"] if has_ended else None,
        flows=vswitch.count_flows(host),
        of=had,
    )


_PIPES: dict[str, Any] = {
    "stdin": subprocess.DEVNULL,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.PIPE,
    "text": True,
}


@contextmanager
def _asking(host: Host) -> Iterator[subprocess.Popen[str]]:
    """The guest asks, and outside of the host somebody answers."""
    program = str(Path(traffic.__file__))
    wire = ["nsenter", "--target", str(find_wire(host.lab).pid), "--net", "--"]
    echo = [*wire, sys.executable, program, "echo", vswitch.OUTSIDE]
    ask = [sys.executable, program, "ask", vswitch.OUTSIDE, str(BEFORE_S + ASK_S)]
    with (
        _begun(subprocess.Popen(echo, **_PIPES), "begun"),
        _begun(vswitch.in_guest(host, ask, **_PIPES), "begun") as asking,
    ):
        yield asking


@contextmanager
def _begun(process: subprocess.Popen[str], word: str) -> Iterator[subprocess.Popen[str]]:
    """Wait for its first word; it is ended with the block."""
    with process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline().strip()
            if said != word:
                _, words = process.communicate(timeout=LIMIT_S)
                raise LabError(f"{process.args!r}: {said} {words.strip()}")
            yield process
        finally:
            process.kill()
