"""A site with one controller gets room for three: what its file holds moves into etcd."""

import asyncio
import shutil
from pathlib import Path

from msgspec import structs

from holdfast.adapters.drivers.authority import Authority
from holdfast.adapters.drivers.certificates import Certificates
from holdfast.adapters.drivers.etcd_members import EtcdMembers, MembersAway
from holdfast.adapters.stores.etcd import Etcd
from holdfast.adapters.stores.sqlite import Sqlite
from holdfast.faces.cli import services, site_setup
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.services import CONTROLLER, Machine, Say
from holdfast.faces.cli.settings import Site
from holdfast.facts.membership import SitePlan
from holdfast.facts.settings import ControllerPlace, Settings
from holdfast.ports.store import StoreAway, TxnResult

# Terms are compared within one store: the new one gets a name of its own.
STAYS = "store"
KEPT = "store.db.before-etcd"
READY_LIMIT_S = 60.0


def move_store(
    site: Site, settings: Settings, config: str, place: ControllerPlace, say: Say, on: Machine
) -> None:
    """The controller is away meanwhile; the settings change only once all is copied."""
    authority = Authority.make("Holdfast store")
    site_setup.write_store_files(
        settings, config, authority, name=place.name, address=place.address
    )
    endpoints = (f"https://{place.address}:2379",)
    grown = structs.replace(settings, store="etcd", etcd_endpoints=endpoints)
    say("the controller pauses while its store moves; agents keep their reports until it is back")
    services.stop([CONTROLLER], on)
    old = Path(settings.state_dir) / "controller" / "store.db"
    try:
        with site_setup.store_running(config):
            tls = Certificates(settings.tls_dir).store_context()
            EtcdMembers(endpoints, tls).wait_ready(READY_LIMIT_S)
            count = asyncio.run(_copy(old, Etcd(endpoints, tls)))
    except (MembersAway, StoreAway) as error:
        shutil.rmtree(Path(settings.state_dir) / site_setup.STORE_DATA, ignore_errors=True)
        services.install(settings, config, place.name, say, on)
        text = f"the store could not be moved, and is as it was: {error}"
        raise Failure(text, code=Exit.BROKEN) from None
    say(f"{count} records were copied into etcd")
    plan = SitePlan(
        controllers=settings.controllers,
        planes=tuple(plane.name for plane in settings.planes),
        store="etcd",
        etcd_endpoints=endpoints,
        api_port=settings.api_port,
        link_port=settings.link_port,
        pulse_port=settings.pulse_port,
        answer_port=settings.answer_port,
        gasp_port=settings.gasp_port,
    )
    own = {plane.name: plane.address for plane in settings.planes}
    site.settings = site_setup.write_settings(config, plan, own, grown)
    if old.exists():
        old.rename(old.with_name(KEPT))
    services.install(site.settings, config, place.name, say, on)


async def _copy(old: Path, store: Etcd) -> int:
    """Raises StoreAway. What is there already was copied by a try before this one."""
    before = Sqlite(old)
    try:
        held = await before.list("")
        for key, one in held.items():
            if key == STAYS:
                continue
            present = await store.get(key)
            if present is not None and present.value == one.value:
                continue
            done = await store.txn(
                holds={key: present.revision if present else 0}, puts={key: one.value}
            )
            if done.result is not TxnResult.COMMITTED:
                raise StoreAway(f"{key} was not written")
        return len(held)
    finally:
        await before.close()
        await store.close()
