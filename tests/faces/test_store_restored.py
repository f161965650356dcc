"""`holdfast store restored` is typed while nothing runs, and says what it did and what is next."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.adapters.drivers.only_one import only_one
from holdfast.adapters.stores.sqlite import Sqlite
from holdfast.controller.registry import Registry
from tests.faces.conftest import Run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="it needs root")


@pytest.fixture
def file(site_dir: Path) -> Path:
    """The store as one life of a controller left it."""
    path = site_dir / "state" / "controller" / "store.db"
    name(path)
    return path


def name(path: Path) -> str:
    async def work() -> str:
        store = Sqlite(path)
        term = await store.begin_term("h1", 6_000)
        registry = Registry(store, lambda: term)
        await registry.begin(term or 0)
        await store.close()
        return registry.store_id

    return asyncio.run(work())


def test_a_file_gets_another_name_and_the_next_steps_are_said(run: Run, file: Path) -> None:
    before = name(file)
    ran = run("store", "restored")
    assert (ran.code, ran.err) == (0, "")
    assert name(file) != before
    assert "the store has a new identity" in ran.out
    assert "systemctl start holdfast.target" in ran.out
    assert "revoke again" in ran.out


def test_it_refuses_while_the_controller_runs_here(run: Run, file: Path, site_dir: Path) -> None:
    before = name(file)
    with only_one("controller", site_dir / "state"):
        ran = run("store", "restored")
    assert ran.code == 4
    assert "the controller runs here: nothing was changed" in ran.err
    assert "systemctl stop 'holdfast-*'" in ran.err
    assert name(file) == before


@pytest.mark.parametrize("ending", ["-wal", "-shm"])
def test_what_is_left_of_the_store_before_is_named(run: Run, file: Path, ending: str) -> None:
    beside = file.with_name(file.name + ending)
    beside.write_bytes(b"old")
    ran = run("store", "restored")
    assert ran.code == 4
    assert f"{beside} is of the store that was there before" in ran.err
    assert "rm " in ran.err


def test_without_a_store_none_is_begun(run: Run, site_dir: Path) -> None:
    ran = run("store", "restored")
    assert ran.code == 4
    assert "there is no store" in ran.err
    assert not list((site_dir / "state").rglob("store.db"))


@pytest.fixture
def other() -> Iterator[int]:
    """Another controller of the site, whose port for agents is open."""
    with socket.create_server(("127.0.0.2", 0)) as listening:
        yield int(listening.getsockname()[1])


def test_it_refuses_while_another_controller_runs(run: Run, site_dir: Path, other: int) -> None:
    settings = site_dir / "holdfast.toml"
    settings.write_text(
        settings.read_text()
        + f'[host]\nname = "h1"\n[site]\nstore = "etcd"\nlink_port = {other}\n'
        + 'etcd_endpoints = ["https://127.0.0.9:2379", "https://127.0.0.2:2379"]\n'
        + '[controller.h1]\naddress = "127.0.0.9"\n[controller.h2]\naddress = "127.0.0.2"\n'
    )
    before = settings.read_text()
    ran = run("store", "restored")
    assert ran.code == 4
    assert "controller h2 still runs, with the store as it was: nothing was changed" in ran.err
    assert "mv " in ran.err
    assert settings.read_text() == before
