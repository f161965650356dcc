"""START.md's own commands on five bare hosts make a site, which is well after each was rebooted."""

import json
import os
import shlex
import time
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast.lab.hosts import Host, Lab
from tests.architecture.sources import PROJECT
from tests.lab import start_page
from tests.lab.site import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(600)]

PROGRAM = str(PROJECT / ".venv" / "bin" / "holdfast")
HOSTS = 5
LIMIT_S = 90.0
# Lab hosts share the machine's file system, on which the clone and its packages are already.
LEFT_OUT = ("git clone", "scripts/install", "ln -s")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    lab = Lab.up(HOSTS, name=f"site-{os.getpid()}")
    try:
        yield lab
    finally:
        lab.down()


def holdfast(host: Host, *words: str, check: bool = True, timeout_s: float = 150.0) -> str:
    done = host.run([PROGRAM, *words], check=check, timeout_s=timeout_s)
    return done.stdout + done.stderr


def ask(host: Host, *words: str) -> Any:
    return json.loads(host.run([PROGRAM, *words, "--json"], check=False).stdout or "null")


def wait_well(host: Host) -> None:
    """Until `holdfast status` says that everything is well."""
    deadline = time.monotonic() + LIMIT_S
    while host.run([PROGRAM, "status"], check=False).returncode != 0:
        assert time.monotonic() < deadline, holdfast(host, "status", check=False)
        time.sleep(0.5)


def type_page(lab: Lab) -> list[str]:
    """Type all that the page says; what was left out is returned."""
    left_out, token_command = [], ""
    for line in start_page.lines():
        words = shlex.split(line.command)
        if line.hosts == ("every",):
            if words[0] != "holdfast":
                left_out.append(line.command)
                continue
            for host in lab.hosts:
                wait_well(host)
                holdfast(host, *words[1:])
        elif words[1:4] == ["ca", "token", "new"]:
            token_command = line.command
        elif words[1] == "join":
            for name in line.hosts:
                made = holdfast(lab.host("h1"), *shlex.split(token_command)[1:])
                token = made.split("--token ")[1].split()[0]
                holdfast(lab.host(name), *[token if w == "TOKEN" else w for w in words[1:]])
        else:
            for name in line.hosts:
                holdfast(lab.host(name), *words[1:])
    return left_out


def host_alarms(host: Host) -> list[str]:
    """All alarms of hosts that there ever were, but of planned stops."""
    told = ask(host, "alarms", "--all")["alarms"]
    return [
        f"{record['alarm']['condition']}: {record['alarm']['text']} ({record['alarm']['cause']})"
        for record in told
        if record["alarm"]["condition"].startswith(("host-", "agent-", "controller-", "racks-"))
        and record["alarm"]["condition"] != "host-stopping"
    ]


def test_a_site_is_made_rebooted_restarted_and_left(lab: Lab) -> None:
    left_out = type_page(lab)
    assert [line.startswith(LEFT_OUT) for line in left_out] == [True] * 3, left_out
    first = lab.host("h1")
    assert len(ask(first, "host", "list")["hosts"]) == HOSTS

    for host in lab.hosts:  # One after the other, as a person would.
        host.reboot()
        wait_well(host)
    for host in lab.hosts:
        wait_well(host)
        assert {row["host_name"] for row in ask(host, "host", "list")["hosts"]} == {
            each.name for each in lab.hosts
        }
    assert host_alarms(first) == []

    for name in ("h1", "h4"):
        lab.host(name).run(["/etc/init.d/holdfast", "restart"], timeout_s=90)
        wait_well(lab.host(name))
    assert host_alarms(first) == []

    said = holdfast(lab.host("h5"), "leave", "--yes")
    assert "stay as they are" in said
    assert not lab.host("h5").path("/etc/init.d/holdfast").exists()
    assert not lab.host("h5").path("/etc/holdfast/tls").exists()
    wait_well(first)
    wait_until(
        lambda: len(ask(first, "host", "list")["hosts"]) == HOSTS - 1, "h5 is on the list no more"
    )
