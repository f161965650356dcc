"""Hosts of a lab made into a site, by the commands that a person types."""

import json
import time
from typing import Any

from holdfast.lab.hosts import Host, Lab
from tests.architecture.sources import PROJECT

PROGRAM = str(PROJECT / ".venv" / "bin" / "holdfast")
LIMIT_S = 90.0


def holdfast(host: Host, *words: str) -> str:
    """Raises LabError when the command fails."""
    return host.run([PROGRAM, *words], timeout_s=150.0).stdout


def refused(host: Host, *words: str) -> str:
    """What a command says that must not succeed."""
    done = host.run([PROGRAM, *words], timeout_s=150.0, check=False)
    assert done.returncode != 0, done.stdout
    return done.stderr


def ask(host: Host, *words: str) -> Any:
    return json.loads(host.run([PROGRAM, *words, "--json"], check=False).stdout or "null")


def init(lab: Lab, *options: str) -> None:
    first = lab.hosts[0]
    planes = [f"--plane={name}={first.address_on(name)}" for name in ("a", "b")]
    holdfast(first, "init", *planes, *options)


def token(lab: Lab, *options: str) -> str:
    said = ask(lab.hosts[0], "ca", "token", "new", *options)
    return str(said["token"])


def join(lab: Lab, host: Host, *options: str) -> None:
    first = lab.hosts[0].address
    holdfast(host, "join", first, "--token", token(lab, *options), *options)


def wait_well(host: Host) -> None:
    """Until `holdfast status` says that everything is well."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        done = host.run([PROGRAM, "status"], check=False)
        if done.returncode == 0:
            return
        assert time.monotonic() < deadline, done.stdout + done.stderr
        time.sleep(0.5)


def wait_until(is_so: Any, what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline, f"not within {LIMIT_S:g} s: {what}"
        time.sleep(0.3)


def names(host: Host) -> set[str]:
    """Hosts that the site knows."""
    told = ask(host, "host", "list") or {}  # A controller that starts anew says nothing.
    return {row["host_name"] for row in told.get("hosts", [])}
