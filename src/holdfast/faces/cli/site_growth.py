"""A site with one controller gets room for three: what its file holds moves into etcd."""

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from holdfast.adapters.drivers.authority import Authority
from holdfast.adapters.drivers.certificates import CertificateProblem
from holdfast.adapters.drivers.etcd_members import MembersAway
from holdfast.adapters.stores.sqlite import Sqlite
from holdfast.faces.cli import services, site_setup
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.services import CONTROLLER, Machine, Say
from holdfast.faces.cli.settings import Site
from holdfast.faces.cli.site_setup import etcd_data, store_database
from holdfast.facts.membership import site_plan
from holdfast.facts.settings import ControllerPlace, Settings
from holdfast.ports.store import Store, StoreAway, TxnResult

# Terms are compared within one store: the new one gets a name of its own.
STAYS = "store"
KEPT = "store.db.before-etcd"
Fill = Callable[[Path, Settings, str, ControllerPlace], int]
GO_ON = "holdfast init --controllers 3"


def move_store(
    site: Site, settings: Settings, config: str, place: ControllerPlace, say: Say, on: Machine
) -> None:
    """The controller is away meanwhile; the settings change only once all is copied, and whatever
    breaks it off before then leaves the site as it was. Raises Failure."""
    old = store_database(settings)
    with _whole_or_not_at_all(settings, config):
        _make_room(settings, config, place)
        with _controller_paused(Path(config), say, on):
            count = _fill_etcd(old, settings, config, place)
            site.settings = _write_settings(settings, config)
    say(f"{count} records were copied into etcd")
    keep_file(settings, say)
    run_on_etcd(site.settings, config, place.name, say, on)


def fill_new_store(
    settings: Settings,
    config: str,
    place: ControllerPlace,
    say: Say,
    fill: Fill | None = None,
) -> None:
    """The store of a site that begins with etcd. What a controller kept in a file before there was
    a site moves into it: nothing runs here now, and the file stays as it is. Raises Failure."""
    old = store_database(settings)
    if not old.exists():
        _write_files(settings, config, place)
        return
    say("what was kept here before is copied into etcd")
    with _whole_or_not_at_all(settings, config):
        _make_room(settings, config, place)
        count = (fill or _fill_etcd)(old, settings, config, place)
    say(f"{count} records were copied into etcd; the file is kept as {KEPT}")


def keep_file(settings: Settings, say: Say) -> None:
    """Under another name: nobody shall take it for the store."""
    old = store_database(settings)
    try:
        if old.exists():
            old.rename(old.with_name(KEPT))
    except OSError as error:  # No reason to leave the site without its controller.
        say(f"{old} is not used any more, and keeps its name: {error.strerror}")


def run_on_etcd(settings: Settings, config: str, name: str, say: Say, on: Machine) -> None:
    """The services anew, whose store is etcd from now on. Raises Failure."""
    try:
        services.install(settings, config, name, say, on)
    except BaseException:
        say(f"the store is in etcd, but not all services run yet; go on: {GO_ON}")
        raise


@contextlib.contextmanager
def _whole_or_not_at_all(settings: Settings, config: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        shutil.rmtree(etcd_data(settings), ignore_errors=True)
        with contextlib.suppress(OSError):
            services.store_file(config).unlink(missing_ok=True)
        if isinstance(error, MembersAway | StoreAway | CertificateProblem | OSError):
            text = f"the store could not be moved: {error}"
            raise Failure(text, code=Exit.BROKEN) from None
        raise


@contextlib.contextmanager
def _controller_paused(config: Path, say: Say, on: Machine) -> Iterator[None]:
    """Also a person who presses Ctrl-C must not be left without a controller."""
    who = "the controller pauses" if on.has_systemd else "all services of this host pause"
    more = "" if on.has_systemd else ": VMs run on, and nothing watches them here meanwhile"
    say(f"{who} while the store moves; agents keep their reports until it is back{more}")
    before = config.read_bytes()
    try:
        services.stop([CONTROLLER], on)
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            if config.read_bytes() != before:
                config.write_bytes(before)
        say(_start_again(on))
        raise


def _start_again(on: Machine) -> str:
    """Nothing was written of the services: they need no installing, which a full disk refuses."""
    try:
        services.start([CONTROLLER], on)
    except Failure as failure:
        return (
            "the store is as it was, but the controller is still stopped:"
            f" {failure.message}; start it: {services.command_to_start(on)}"
        )
    return "the store is as it was, and the controller runs again"


def _make_room(settings: Settings, config: str, place: ControllerPlace) -> None:
    if etcd_data(settings).exists():  # Of a try that was killed; what was deleted since is in it.
        shutil.rmtree(etcd_data(settings))
    _write_files(settings, config, place)


def _write_files(settings: Settings, config: str, place: ControllerPlace) -> None:
    site_setup.write_store_files(
        settings,
        config,
        Authority.make("Holdfast store"),
        name=place.name,
        address=place.address,
    )


def _fill_etcd(old: Path, settings: Settings, config: str, place: ControllerPlace) -> int:
    with site_setup.store_serving(settings, config, place) as (_, store):
        return asyncio.run(_copy(old, store))


def _write_settings(settings: Settings, config: str) -> Settings:
    plan = site_plan(settings, settings.controllers, "etcd")
    return site_setup.write_settings(config, plan, settings.own_planes, settings)


async def _copy(old: Path, store: Store) -> int:
    """Into an etcd that holds nothing. Raises StoreAway."""
    before = Sqlite(old)
    try:
        held = {key: one for key, one in (await before.list("")).items() if key != STAYS}
        for key, one in held.items():
            done = await store.txn(holds={key: 0}, puts={key: one.value})
            if done.result is not TxnResult.COMMITTED:
                raise StoreAway(f"{key} was not written")
        return len(held)
    finally:
        await before.close()
        await store.close()
