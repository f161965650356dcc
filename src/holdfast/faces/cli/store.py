"""The store that was put back from a backup: made fit to be served again, while nothing runs."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import click

from holdfast.adapters.drivers.certificates import CertificateProblem
from holdfast.adapters.drivers.etcd_members import MembersAway
from holdfast.adapters.drivers.only_one import NotTheOnlyOne, only_one
from holdfast.adapters.stores.sqlite import Sqlite
from holdfast.controller.restoring import Restored, restore
from holdfast.faces.cli import site_setup
from holdfast.faces.cli.choosing import Choices
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.hostname import name_of_host
from holdfast.faces.cli.services import is_controller_here
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import say
from holdfast.facts.membership import CLIENT_PORT, site_plan
from holdfast.facts.settings import DEFAULT_FILE, ControllerPlace, Settings
from holdfast.ports import clock
from holdfast.ports.store import Store, StoreAway

LOOK_S = 1.0
STOP = "systemctl stop 'holdfast-*'; without systemd: /etc/init.d/holdfast stop"


@click.group(cls=Choices)
def store() -> None:
    """Put a backup of the store into service. Which steps: docs/operate/site.md, Backup."""


@store.command()
@pass_site
def restored(site: Site) -> None:
    """Say that the store here came out of a backup, before the services start. Needs root.

    It gets a new identity, so that agents obey the controller that serves it. Whatever else may
    have changed since the backup is not taken for granted: VMs, join tokens, other controllers.
    """
    site_setup.need_root("store restored")
    settings = site.settings
    if not is_controller_here(settings, name_of_host(settings)):
        raise Failure("this host is no controller", "type it on the one whose store was restored")
    with _alone(settings):
        _refuse_where_others_run(settings)
        done = _of_etcd(site) if settings.store == "etcd" else _of_file(settings)
    _tell(done, settings)


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """No controller runs here, nor begins to. Raises Failure."""
    try:
        with only_one("controller", Path(settings.state_dir)):
            yield
    except NotTheOnlyOne:
        raise Failure("the controller runs here: nothing was changed", STOP) from None
    except OSError as error:
        raise Failure(f"cannot use {error.filename}: {error.strerror}") from None


def _refuse_where_others_run(settings: Settings) -> None:
    """Two stores of one site: agents would hear of both. Raises Failure."""
    own = name_of_host(settings)
    for place in settings.controllers:
        ports = [CLIENT_PORT] if place.name == own else [CLIENT_PORT, settings.link_port]
        if settings.store != "etcd" or not any(_listens(place.address, port) for port in ports):
            continue
        if place.name == own:
            raise Failure("the store runs here: nothing was changed", STOP)
        raise Failure(
            f"controller {place.name} still runs, with the store as it was: nothing was changed",
            f"on {place.name} first: {STOP}; then: mv {settings.state_dir}/store /root/store.old",
        )


def _listens(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), LOOK_S):
            return True
    except OSError:
        return False


def _of_file(settings: Settings) -> Restored:
    path = site_setup.store_database(settings)
    if not path.exists():
        raise Failure(f"there is no store at {path}", "put the backup there first")
    for ending in ("-wal", "-shm"):
        beside = path.with_name(path.name + ending)
        if beside.exists():
            text = f"{beside} is of the store that was there before, and would spoil this one"
            raise Failure(text, f"rm {path}-wal {path}-shm")
    return _restore(Sqlite(path), settings.place_of(name_of_host(settings)))


def _of_etcd(site: Site) -> Restored:
    """The settings first: from then on this controller asks its own etcd alone."""
    settings, config = site.settings, site.config or DEFAULT_FILE
    place = settings.place_of(name_of_host(settings))
    if place is None:
        raise Failure("the settings do not name this controller", "holdfast config check")
    data = site_setup.etcd_data(settings)
    if not (data / "member").is_dir():
        raise Failure(f"there is no store at {data}", "etcdctl snapshot restore comes first")
    plan = site_plan(settings, [place], "etcd")
    try:
        with site_setup.store_serving(settings, config, place) as (members, opened):
            _refuse_others([one.name for one in members.members()])
            site.settings = site_setup.write_settings(config, plan, settings.own_planes, settings)
            return _restore(opened, place)
    except (MembersAway, CertificateProblem) as error:
        raise Failure(
            f"the store here does not serve: {error}",
            "was it restored with --initial-cluster of this host alone?",
            Exit.BROKEN,
        ) from None


def _refuse_others(members: list[str]) -> None:
    if len(members) > 1:
        raise Failure(
            f"the store here has the members {', '.join(sorted(members))}: it was not restored",
            "etcdctl snapshot restore comes first, with --initial-cluster of this host alone",
        )


def _restore(opened: Store, place: ControllerPlace | None) -> Restored:
    async def work() -> Restored:
        try:
            return await restore(opened, place, clock.utc_ms())
        finally:
            await opened.close()

    try:
        return asyncio.run(work())
    except StoreAway as away:
        raise Failure(f"the store was not made fit: {away}", code=Exit.BROKEN) from None


def _tell(done: Restored, settings: Settings) -> None:
    say("the store has a new identity; agents obey the controller that serves it from now on")
    if done.promises:
        say(
            f"{_counted(done.promises, 'promise')} of it: each counts once the VM's own host has"
            " confirmed it; else it waits until a person protects the VM again"
        )
    if done.moving:
        say(
            f"{', '.join(done.moving)} moved to another host when the backup was made: nobody holds"
            " such a VM until both hosts of that move are linked, and know of nothing newer"
        )
    if done.tokens:
        say(f"{_counted(done.tokens, 'join token')} of it ended, since it may have been used")
    if settings.store == "etcd":
        say(f"this controller is the only one, and asks its own etcd alone ({CLIENT_PORT})")
    click.echo("\nWhat to do next:")
    click.echo("  systemctl start holdfast.target    without systemd: /etc/init.d/holdfast start")
    for name in done.others:
        command = f"holdfast ca certificate revoke {name} --reason restored --even-with-vms"
        click.echo(f"  {command}    then it may join")
    click.echo("  revoke again the certificates and API tokens that were revoked since the backup")
    click.echo("  holdfast disarm, if recovery was off: the store knows that only from the backup")
    click.echo("  holdfast status                    names the VMs that have to be protected again")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
