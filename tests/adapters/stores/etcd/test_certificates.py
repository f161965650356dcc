"""etcd lets in only who has a certificate of the store's own CA, and says clearly why not."""

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.adapters.drivers.authority import Authority, Subject
from holdfast.adapters.drivers.certificates import CA, CERTIFICATE, KEY
from holdfast.adapters.stores.etcd import Etcd
from holdfast.ports.store import StoreAway
from tests.adapters.etcd_members import Member, free_ports, needs_etcd
from tests.controller.site import certify

pytestmark = [needs_etcd, pytest.mark.slow]


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Member]:
    """One that asks everybody for a certificate, also the gateway that it is itself."""
    authority = Authority.make("the store")
    own = certify(tmp_path / "own", authority, Subject("m0", "m0", ("127.0.0.1",)))
    certify(tmp_path / "client", authority, Subject("c", "c", is_controller=True))
    certify(tmp_path / "stranger", Authority.make("another"), Subject("c", "c"))
    client, peer = free_ports(2)
    made = Member("m0", tmp_path, f"https://127.0.0.1:{client}", f"http://127.0.0.1:{peer}")
    try:
        made.begin(
            f"m0={made.peer}",
            f"--cert-file={own / CERTIFICATE}",
            f"--key-file={own / KEY}",
            f"--trusted-ca-file={own / CA}",
            "--client-cert-auth",
        )
        yield made
    finally:
        made.kill()


def context(ca: Path, own: Path | None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(ca / CA))
    if own is not None:
        made.load_cert_chain(own / CERTIFICATE, own / KEY)
    return made


def test_a_certificate_of_the_store_opens_it_and_no_other(tmp_path: Path, member: Member) -> None:
    own = tmp_path / "client"

    async def work() -> None:
        store = Etcd((member.client,), context(own, own))
        async with asyncio.timeout(30):
            while True:
                try:
                    await store.txn(holds={}, puts={"a": b"1"})
                    break
                except StoreAway:
                    await asyncio.sleep(0.1)
            held = await store.get("a")
            assert held is not None
            watch = store.watch("", await store.newest())
            coming = asyncio.ensure_future(anext(watch))
            await asyncio.sleep(0.1)
            await store.txn(holds={}, puts={"a": b"2"})
            await coming
            await watch.aclose()  # type: ignore[attr-defined]
        await store.close()
        for tls in (context(own, None), context(own, tmp_path / "stranger")):
            refused = Etcd((member.client,), tls)
            with pytest.raises(StoreAway):
                await refused.get("a")
            await refused.close()
        distrusting = Etcd((member.client,), context(tmp_path / "stranger", own))
        with pytest.raises(StoreAway, match="is not trusted"):
            await distrusting.txn(holds={}, puts={"a": b"3"})
        await distrusting.close()

    asyncio.run(work())
