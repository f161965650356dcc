"""Init and join say that all is well only once it is, and name what does not run here."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast.faces.cli import arriving
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.services import Machine
from holdfast.faces.cli.settings import Site
from tests.faces.programs_that_answer import answering

OWN = socket.gethostname()
HOST = {"host": "1", "host_name": OWN, "planes_heard": ["a"]}
WELL: dict[str, Any] = {
    "host_name": OWN,
    "store": "answers",
    "leader": "h1",
    "controllers": {OWN: "here", "h1": "up"},
    "pulses": {"is_up": True, "hosts": 1},
    "hosts": [HOST],
    "incidents": [],
}


@pytest.fixture
def site(site_dir: Path) -> Site:
    return Site(config=str(site_dir / "holdfast.toml"))


@contextmanager
def running(site: Site, **changed: Any) -> Iterator[None]:
    folder, told = Path(site.settings.run_dir), {**WELL, **changed}
    with (
        answering(folder, "controller", {"status": told}),
        answering(folder, "agent", {"status": {"controller": "h1"}}),
    ):
        yield


@pytest.mark.parametrize(
    ("changed", "missing"),
    [
        ({}, []),
        ({"hosts": [{**HOST, "planes_heard": []}]}, [f"the pulse of {OWN} is not heard yet"]),
        ({"hosts": []}, [f"the pulse of {OWN} is not heard yet"]),
        (
            {"controllers": {OWN: "here", "h1": "it hung up"}},
            [f"controllers: {OWN}, h1 is away (it hung up), nobody leads"],
        ),
        (
            {"pulses": {"is_up": False, "why": "UDP port 7312 is taken"}},
            ["pulses: nobody listens: UDP port 7312 is taken; the ear is begun again"],
        ),
        ({"agents_awaited": ["h9"]}, []),
        ({"agents_awaited": [OWN]}, [f"the agent of {OWN} has not been heard yet"]),
    ],
)
def test_what_a_new_host_waits_for(site: Site, changed: dict[str, Any], missing: list[str]) -> None:
    with running(site, **changed):
        assert arriving.what_is_missing(site) == missing


def test_a_program_that_is_away_is_missing(site: Site) -> None:
    assert arriving.what_is_missing(site) == ["no agent runs here"]


class Looking:
    """What is missing at each look; the last is so for ever."""

    def __init__(self, *looks: list[str]) -> None:
        self.looks = list(looks)

    def __call__(self, _site: Site) -> list[str]:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]


@pytest.fixture
def plain(tmp_path: Path) -> Machine:
    return Machine(systemd=tmp_path / "no-systemd")


def run_programs(site: Site, *names: str) -> None:
    for name in names:
        (Path(site.settings.run_dir) / f"{name}.pid").write_text(f"{os.getpid()}\n")


def test_it_waits_until_nothing_is_missing(site: Site, plain: Machine) -> None:
    looking, said = Looking(["h1 is away"], ["h1 is away"], []), list[str]()
    assert arriving.wait_well(site, said.append, plain, looking=looking, limit_s=20)
    assert (said, looking.looks) == ([], [[]])


def test_what_begins_anew_a_little_later_is_waited_for(site: Site, plain: Machine) -> None:
    looking, said = Looking([], ["h1 is away"], []), list[str]()
    assert arriving.wait_well(site, said.append, plain, looking=looking, steady_s=0.1, limit_s=20)
    assert looking.looks == [[]]


def test_what_is_missing_at_the_end_is_said_with_what_to_look_at(
    site: Site, plain: Machine
) -> None:
    said = list[str]()
    run_programs(site, "pulse", "controller", "agent")
    looking = Looking(["h1 is away"])
    assert not arriving.wait_well(site, said.append, plain, looking=looking, limit_s=0)
    assert said == [
        "not all is well after 0 s: h1 is away",
        "it may need a little longer; look again: holdfast status",
    ]


def test_a_service_that_does_not_run_is_named_with_its_words(site: Site, plain: Machine) -> None:
    run_programs(site, "controller", "agent")
    said = list[str]()
    with pytest.raises(Failure) as failed:
        arriving.wait_well(site, said.append, plain, looking=Looking(["no pulse"]), limit_s=0)
    assert failed.value.message.startswith("the pulse of this host does not run")
    assert failed.value.hint == "why: /var/log/holdfast/pulse.log"
    assert failed.value.code == Exit.BROKEN


def test_a_unit_that_is_started_again_and_again_does_not_run(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    text = '[ "$2" = holdfast-pulse.service ] && echo activating || echo active'
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with pytest.raises(Failure) as failed:
        arriving.refuse_what_ended(site, Machine(systemd=tmp_path))
    assert failed.value.hint == "why: journalctl -u holdfast-pulse"
