"""How a host comes to belong to a site, and how it ceases to: init, join, leave."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
from msgspec import structs

from holdfast.adapters.drivers.authority import (
    Authority,
    Subject,
    fingerprint,
    make_key_and_request,
)
from holdfast.adapters.drivers.certificates import (
    CA_KEY,
    CERTIFICATE,
    Certificates,
    write_private,
)
from holdfast.adapters.drivers.site_file import SiteFileWrong, remove_site
from holdfast.faces.cli import arriving, asking, hook, services, site_setup, site_words
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.giving_back import give_back_all
from holdfast.faces.cli.goodbye import left_to_do, say_goodbye
from holdfast.faces.cli.hostname import address_towards, addresses_of_host, name_of_host
from holdfast.faces.cli.joining import Joiner
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import say
from holdfast.faces.cli.site_growth import fill_new_store, keep_file, move_store, run_on_etcd
from holdfast.faces.cli.site_words import controllers_mean
from holdfast.facts.membership import site_plan
from holdfast.facts.settings import DEFAULT_FILE, ControllerPlace, Plane, Settings
from holdfast.facts.settings_reader import NAME
from holdfast.ports.answers import NO_SITE

DEFAULT_PLANE = "main"
MACHINE = services.Machine()

name_option = click.option("--name", metavar="NAME", help="This host's name; else the machine's.")
plane_option = click.option(
    "--plane",
    "planes",
    metavar="NAME=ADDRESS",
    multiple=True,
    help="A network that pulses go over, with this host's own address on it. Two are better.",
)


@click.command()
@name_option
@plane_option
@click.option(
    "--controllers",
    type=click.Choice(["1", "3"]),
    help="How many controllers the site shall have; 3 keeps the store in etcd. By default 1.",
)
@pass_site
def init(site: Site, name: str | None, planes: tuple[str, ...], controllers: str | None) -> None:
    """Make a site, with this host as its first controller. Needs root.

    It makes the site's certificates, writes [site] into the settings, and starts the services.
    Again, with --controllers 3, it moves the store of a site with one controller into etcd.
    """
    site_setup.need_root("init")
    settings, config = _named(site.settings, name), site.config or DEFAULT_FILE
    site_setup.refuse_where_it_runs(settings, MACHINE)
    if Certificates.is_here(settings.tls_dir):
        _grow(site, settings, config, controllers)
        return
    own = _own_planes(settings, planes, addresses_of_host())
    place = ControllerPlace(
        name=name_of_host(settings), address=next(iter(own.values())), planes=own
    )
    has_etcd = controllers == "3"
    if has_etcd:
        services.etcd_program()
    used = tuple(Plane(name=plane, address=address) for plane, address in own.items())
    plan = site_plan(
        structs.replace(settings, planes=used), [place], "etcd" if has_etcd else "sqlite"
    )
    with _a_site_or_none(settings):
        ca = _sign_ourselves(settings, place)
        if has_etcd:
            fill_new_store(settings, config, place, say)
        settings = site_setup.write_settings(config, plan, own, settings)
    if has_etcd:
        keep_file(settings, say)
    services.install(settings, config, place.name, say, MACHINE)
    hook.install(settings, say, MACHINE)
    site.settings = settings
    arriving.wait_for_services(site, MACHINE, is_controller=True)
    arriving.wait_well(site, say, MACHINE)
    say(f"this is a site now, and {place.name} its controller; the CA's fingerprint is {ca[:16]}")
    say(controllers_mean([place.name], plan.store))
    click.echo("\nWhat to do next:")
    click.echo("  holdfast ca token new                a token, with which one more host joins")
    if has_etcd:
        click.echo("  holdfast ca token new --controller   the same, for one more controller")
    click.echo("  holdfast status                      everything at a glance")


@contextmanager
def _a_site_or_none(settings: Settings) -> Iterator[None]:
    """A certificate without a site would keep `init` from being typed again."""
    try:
        yield
    except BaseException:
        (Path(settings.tls_dir) / CERTIFICATE).unlink(missing_ok=True)
        raise


def _grow(site: Site, settings: Settings, config: str, controllers: str | None) -> None:
    place = settings.place_of(name_of_host(settings))
    is_moved = settings.store == "etcd"
    is_here = place is not None and asking.is_running(settings, services.CONTROLLER)
    if controllers != "3" or (is_moved and is_here):
        text = f"{name_of_host(settings)} belongs to a site already"
        raise Failure(text, "holdfast status; to begin anew: holdfast leave --alone")
    if place is None:
        raise Failure("this host is no controller", "type it on the controller")
    services.etcd_program()
    if is_moved:  # The last try was broken off after that, or its controller ended since.
        run_on_etcd(settings, config, place.name, say, MACHINE)
    else:
        move_store(site, settings, config, place, say, MACHINE)
    arriving.wait_for_services(site, MACHINE, is_controller=True)
    arriving.wait_well(site, say, MACHINE)
    say("the store is in etcd now" + ("" if is_moved else "; what it was is kept beside it"))
    say(controllers_mean([one.name for one in site.settings.controllers], "etcd"))


@click.command()
@click.argument("controller_place", metavar="HOST[:PORT]")
@click.option("--token", required=True, help="From `holdfast ca token new`, on a controller.")
@click.option("--controller", "is_controller", is_flag=True, help="Be a controller as well.")
@name_option
@plane_option
@pass_site
def join(
    site: Site,
    controller_place: str,
    token: str,
    is_controller: bool,
    name: str | None,
    planes: tuple[str, ...],
) -> None:
    """Let this host belong to the site whose controller is at HOST. Needs root."""
    site_setup.need_root("join")
    settings, config = _named(site.settings, name), site.config or DEFAULT_FILE
    site_setup.refuse_where_it_runs(settings, MACHINE)
    if Certificates.is_here(settings.tls_dir):
        text = f"{name_of_host(settings)} belongs to a site already"
        raise Failure(text, "holdfast status; to join another one: holdfast leave")
    if is_controller:
        services.etcd_program()
    addresses = addresses_of_host()
    joiner = Joiner(
        settings=settings,
        config=config,
        place=controller_place,
        token=token,
        is_controller=is_controller,
        planes=_read_planes(planes, addresses),
        addresses=addresses,
    )
    joiner.ask()
    try:
        settings = joiner.settle(say, MACHINE)
    except BaseException:  # Also what a person interrupts: it may have its vote already.
        say(site_words.to_begin_anew(name_of_host(settings)))
        raise
    site.settings = settings
    arriving.wait_for_services(site, MACHINE, is_controller=is_controller)
    say(f"{name_of_host(settings)} belongs to the site")
    _wait_well(site, is_controller=is_controller)
    if is_controller:
        say(controllers_mean([c.name for c in settings.controllers], settings.store))


def _wait_well(site: Site, *, is_controller: bool) -> None:
    """Who joins as a controller makes the others begin anew, one after the other."""
    if is_controller:
        say("the other controllers take it in: each is started anew for a moment")
    steady_s = arriving.STEADY_S if is_controller else 0.0
    if arriving.wait_well(site, say, MACHINE, steady_s=steady_s):
        say("controllers, agents and pulses are well, as seen from here")


@click.command()
@click.option("--alone", is_flag=True, help="Without asking the site: it forgets nothing by this.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_site
def leave(site: Site, alone: bool, yes: bool) -> None:
    """Undo init or join: services, certificates, settings, and the site's record of this host.

    VMs run on, and nothing watches them any more.
    """
    if not yes and not sys.stdin.isatty():
        raise Failure("nobody is here to say yes", "holdfast leave --yes", Exit.USAGE)
    site_setup.need_root("leave")
    settings, config = site.settings, site.config or DEFAULT_FILE
    is_here = Certificates.is_here(settings.tls_dir)
    if not (is_here or alone or MACHINE.init_script.exists()):
        raise Failure(NO_SITE, code=Exit.USAGE)
    if not yes:
        click.confirm("Holdfast's services, certificates and records here go. Leave?", abort=True)
    if is_here and not alone:
        say_goodbye(settings, say)
    last_words = left_to_do(settings, is_here=is_here) if alone else ""
    hook.remove(say, MACHINE)
    services.remove(say, MACHINE)
    with _told("protected VMs keep on_crash = preserve"):
        for name in give_back_all(settings):
            say(f"{name} has its own settings back (on_crash)")
    _remove_files(settings, config)
    if last_words:
        say(last_words)


def _remove_files(settings: Settings, config: str) -> None:
    shutil.rmtree(settings.tls_dir, ignore_errors=True)
    services.store_file(config).unlink(missing_ok=True)
    try:
        if remove_site(Path(config)):
            say(f"what you wrote into {config} stays")
    except SiteFileWrong as wrong:
        say(str(wrong))
    for folder in (settings.state_dir, settings.run_dir, settings.cache_dir):
        _empty(Path(folder))
    shutil.rmtree("/var/log/holdfast", ignore_errors=True)
    with suppress(OSError):  # A person's files are in it.
        Path(config).parent.rmdir()
    say("files of ours are gone; VMs, libvirt, and the distribution's packages stay as they are")


def _empty(folder: Path) -> None:
    """All but the installer's list of packages, which `make clean` reads."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name == "distribution-packages":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    with suppress(OSError):  # The list of packages is in it, or it is a disk of its own.
        folder.rmdir()


class _told:  # noqa: N801  It reads as a word: `with _told("...")`.
    """What fails is said, and the rest is done all the same."""

    def __init__(self, consequence: str) -> None:
        self._consequence = consequence

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: object, _trace: object) -> bool:
        if isinstance(error, Failure):
            say(f"{error.message}: {self._consequence}")
            return True
        return False


def _named(settings: Settings, name: str | None) -> Settings:
    if name is None:
        return settings
    if not NAME.fullmatch(name):
        text = "a host's name has letters, digits, and . _ - inside, to 63"
        raise Failure(text, code=Exit.USAGE)
    if settings.host_name and settings.host_name != name:
        text = f"the settings call this host {settings.host_name}, not {name}"
        raise Failure(text, "change [host] name there", Exit.USAGE)
    return structs.replace(settings, host_name=name)


def _read_planes(given: tuple[str, ...], ours: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, _, address = text.partition("=")
        if not NAME.fullmatch(name) or address not in ours:
            raise Failure(
                f"--plane {text}: it must be a name, and an address of this host",
                f"this host has {', '.join(ours) or 'no address'}",
                Exit.USAGE,
            )
        found[name] = address
    return found


def _own_planes(settings: Settings, given: tuple[str, ...], ours: list[str]) -> dict[str, str]:
    """What was typed, else what the settings say, else the address towards the others."""
    found = settings.own_planes | _read_planes(given, ours)
    if found:
        site_setup.refuse_shared_address(found, "holdfast init")
        return found
    address = address_towards("192.0.2.1") or next(iter(ours), "")
    if not address:
        hint = "holdfast init --plane main=ADDRESS"
        raise Failure("no address of this host is known that others could reach", hint)
    return {DEFAULT_PLANE: address}


def _sign_ourselves(settings: Settings, place: ControllerPlace) -> str:
    """The site's CA, and this host's certificate; the CA's fingerprint."""
    name = place.name
    authority = Authority.make(f"Holdfast site of {name}")
    key, request = make_key_and_request()
    addresses = tuple(dict.fromkeys([place.address, *place.planes.values(), *addresses_of_host()]))
    subject = Subject(
        host=site_setup.host_id(settings),
        host_name=name,
        addresses=addresses,
        is_controller=True,
    )
    write_private(Path(settings.tls_dir) / CA_KEY, authority.key)
    signed = authority.sign(request, subject)
    site_setup.write_host_files(settings.tls_dir, authority.certificate, signed.pem, key)
    return fingerprint(authority.certificate)
