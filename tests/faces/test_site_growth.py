"""The store moves whole or not at all: whatever breaks it off, the controller runs as before."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from holdfast.adapters.drivers.authority import Authority, Subject
from holdfast.adapters.drivers.certificates import Certificates
from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.adapters.stores.sqlite import Sqlite
from holdfast.faces.cli import site_commands, site_growth
from holdfast.faces.cli.exits import Failure
from holdfast.faces.cli.services import Machine
from holdfast.faces.cli.settings import Site
from holdfast.faces.cli.site_setup import store_running
from holdfast.facts.settings import ControllerPlace, Settings
from holdfast.ports.store import StoreAway
from tests.controller.site import certify

ADDRESS = "127.0.0.1"
PLACE = ControllerPlace(name="h1", address=ADDRESS, planes={"a": ADDRESS})
SETTINGS = "# what a person wrote\n"


class Growing:
    """A machine in a folder, whose etcd does what the test wants."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, has_systemd: bool) -> None:
        self.folder, self.said = folder, list[str]()
        self.on = Machine(
            units=folder / "units",
            init_script=folder / "holdfast.init",
            systemd=folder / "systemd",
            hooks=folder / "libvirt" / "hooks",
        )
        if has_systemd:
            self.on.systemd.mkdir()
        else:
            self.program(self.on.init_script, f'echo "init $*" >>{folder}/calls\n')
        (folder / "bin").mkdir()
        self.program(folder / "bin" / "systemctl", f'echo "systemctl $*" >>{folder}/calls\n')
        self.etcd("exec sleep 60\n")
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        self.config = folder / "etc" / "holdfast.toml"
        self.config.parent.mkdir()
        self.config.write_text(SETTINGS)
        self.settings = Settings(
            tls_dir=str(folder / "tls"),
            state_dir=str(folder / "state"),
            run_dir=str(folder / "run"),
            cache_dir=str(folder / "cache"),
            controllers=(PLACE,),
        )
        self.data = folder / "state" / "store"

    def program(self, path: Path, text: str) -> None:
        path.write_text(f"#!/bin/sh\n{text}")
        path.chmod(0o755)

    def etcd(self, text: str) -> None:
        self.program(self.folder / "bin" / "etcd", text)

    def certify(self) -> None:
        subject = Subject("a1", "h1", (ADDRESS,), is_controller=True)
        certify(self.folder / "tls", Authority.make("site"), subject)

    def move(self) -> None:
        site = Site(config=str(self.config))
        site_growth.move_store(
            site, self.settings, str(self.config), PLACE, self.said.append, self.on
        )

    def assert_as_before(self) -> None:
        assert not self.data.exists()
        assert not (self.folder / "etc" / "store.yaml").exists()
        assert self.config.read_text() == SETTINGS
        assert "the store is as it was, and the controller runs again" in self.said

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Growing:
    return Growing(tmp_path, monkeypatch, has_systemd=True)


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Growing:
    return Growing(tmp_path, monkeypatch, has_systemd=False)


STOP_AND_START = [
    "systemctl stop holdfast-controller.service",
    "systemctl start holdfast-controller.service",
]


def test_a_certificate_that_is_missing_stops_nothing_for_good(systemd: Growing) -> None:
    with pytest.raises(Failure, match="the store could not be moved"):
        systemd.move()
    assert systemd.calls == STOP_AND_START
    systemd.assert_as_before()


def test_a_person_may_interrupt_it(systemd: Growing) -> None:
    systemd.certify()
    systemd.etcd(f"mkdir -p {systemd.data}/member\nkill -{signal.SIGINT.value} $PPID\nsleep 60\n")
    with pytest.raises(KeyboardInterrupt):
        systemd.move()
    assert systemd.calls == STOP_AND_START
    systemd.assert_as_before()


def test_an_interrupt_as_the_store_starts_leaves_no_store(systemd: Growing) -> None:
    """The moment between its start and the block that ends it."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*program: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(*program, **options))
        signal.raise_signal(signal.SIGINT)
        return started[-1]

    systemd.certify()
    systemd.etcd(f"mkdir -p {systemd.data}/member\nexec sleep 60\n")
    with pytest.raises(KeyboardInterrupt), store_running(str(systemd.config), start):
        pass
    assert [one.returncode for one in started] == [-signal.SIGTERM]


def test_a_try_before_this_one_leaves_nothing_behind(systemd: Growing) -> None:
    """What was deleted in the file since then would come back."""
    systemd.certify()
    (systemd.data / "member").mkdir(parents=True)
    seen = systemd.folder / "seen"
    systemd.etcd(f"ls {systemd.data} >{seen} 2>&1; kill -{signal.SIGINT.value} $PPID; sleep 60\n")
    with pytest.raises(KeyboardInterrupt):
        systemd.move()
    assert "member" not in seen.read_text().split()


def test_a_disk_that_is_full_before_anything_was_stopped(systemd: Growing) -> None:
    (systemd.folder / "tls").write_text("in the way of the folder")
    with pytest.raises(Failure, match="the store could not be moved"):
        systemd.move()
    assert not (systemd.folder / "calls").exists(), "nothing had to be stopped"
    assert systemd.said == []


def test_a_controller_that_does_not_start_again_is_said(systemd: Growing) -> None:
    text = f'echo "systemctl $*" >>{systemd.folder}/calls\n[ "$1" != start ]\n'
    systemd.program(systemd.folder / "bin" / "systemctl", text)
    with pytest.raises(Failure, match="the store could not be moved"):
        systemd.move()
    assert "the store is as it was, but the controller is still stopped" in systemd.said[-1]
    assert "systemctl start holdfast.target" in systemd.said[-1]


def test_without_systemd_all_services_pause_and_it_says_so(plain: Growing) -> None:
    with pytest.raises(Failure, match="the store could not be moved"):
        plain.move()
    assert plain.calls == ["init stop", "init start"]
    assert "all services of this host pause while the store moves" in plain.said[0]
    plain.assert_as_before()


def test_once_the_store_has_moved_the_same_command_goes_on(systemd: Growing) -> None:
    text = f'echo "systemctl $*" >>{systemd.folder}/calls\n[ "$1" != restart ]\n'
    systemd.program(systemd.folder / "bin" / "systemctl", text)
    moved = structs.replace(systemd.settings, store="etcd")
    config, said = str(systemd.config), systemd.said.append
    with pytest.raises(Failure, match="restart"):
        site_growth.run_on_etcd(moved, config, "h1", said, systemd.on)
    assert systemd.said[-1].endswith(
        "not all services run yet; go on: holdfast init --controllers 3"
    )
    systemd.program(systemd.folder / "bin" / "systemctl", "")
    site_growth.run_on_etcd(moved, config, "h1", said, systemd.on)
    assert "holdfast-store.service" in systemd.said[-1]


class Filling:
    """Instead of etcd: what is copied is kept in memory, or cannot be."""

    def __init__(self, why: str = "") -> None:
        self.store, self.why = StoreInMemory(), why

    def __call__(self, old: Path, *_others: object) -> int:
        if self.why:
            raise StoreAway(self.why)
        return asyncio.run(site_growth._copy(old, self.store))

    def held(self) -> dict[str, bytes]:
        return {key: one.value for key, one in asyncio.run(self.store.list("")).items()}


def fill(new: Growing, filling: Filling) -> None:
    site_growth.fill_new_store(new.settings, str(new.config), PLACE, new.said.append, filling)


def keep_before(new: Growing, **records: bytes) -> Path:
    """As `holdfast up` does on a host that belongs to no site yet."""
    path = new.folder / "state" / "controller" / "store.db"
    path.parent.mkdir(parents=True)

    async def keep() -> None:
        store = Sqlite(path)
        for key, value in records.items():
            await store.txn(holds={key: 0}, puts={key: value})
        await store.close()

    asyncio.run(keep())
    return path


def test_a_site_that_begins_with_etcd_keeps_what_was_protected_before(systemd: Growing) -> None:
    path = keep_before(systemd, web=b"protected", gateways=b"a group", store=b"its name")
    filling = Filling()
    fill(systemd, filling)
    assert filling.held() == {"web": b"protected", "gateways": b"a group"}
    assert systemd.said[-1] == (
        "2 records were copied into etcd; the file is kept as store.db.before-etcd"
    )
    assert path.exists(), "until the settings are written"
    site_growth.keep_file(systemd.settings, systemd.said.append)
    assert [one.name for one in path.parent.iterdir()] == ["store.db.before-etcd"]
    assert (systemd.folder / "etc" / "store.yaml").exists()
    assert not (systemd.folder / "calls").exists(), "nothing runs here yet"


def test_a_copy_that_fails_leaves_the_file_and_no_store(systemd: Growing) -> None:
    path = keep_before(systemd, web=b"protected")
    with pytest.raises(Failure, match="the store could not be moved: no etcd"):
        fill(systemd, Filling("no etcd"))
    assert path.exists()
    assert not (systemd.folder / "etc" / "store.yaml").exists()
    fill(systemd, Filling())
    assert systemd.said[-1].startswith("1 records were copied")


def test_a_site_that_begins_with_etcd_on_a_new_host_copies_nothing(systemd: Growing) -> None:
    fill(systemd, Filling("it is not asked"))
    assert systemd.said == []
    assert (systemd.folder / "etc" / "store.yaml").exists()


def test_an_init_that_is_broken_off_can_be_typed_again(systemd: Growing) -> None:
    systemd.certify()
    with pytest.raises(KeyboardInterrupt), site_commands._a_site_or_none(systemd.settings):
        raise KeyboardInterrupt
    assert not Certificates.is_here(systemd.settings.tls_dir)
