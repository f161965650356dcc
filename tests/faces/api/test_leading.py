"""A change asked of a controller that does not lead is done by the leader, and known at both."""

import asyncio
from pathlib import Path

import pytest

from holdfast.adapters.drivers.authority import Authority, Subject
from holdfast.adapters.drivers.certificates import Certificates
from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.faces.api.leading import Leader
from holdfast.faces.api.refusals import Refusal
from holdfast.faces.api.routes import route_for
from holdfast.facts.roles import Caller, Role
from holdfast.facts.settings import ControllerPlace
from holdfast.ports.store import Store
from tests.controller.fake_agent import wait_for
from tests.controller.site import certify
from tests.faces.api.site import api
from tests.ports import free_port


class Shared:
    """One store for two: the end of one controller does not close it for the other."""

    def __init__(self) -> None:
        self._store = StoreInMemory()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def close(self) -> None:
        return


def test_what_only_the_leader_may_do_is_passed_on_with_who_asked(tmp_path: Path) -> None:
    async def work() -> None:
        store: Store = Shared()  # type: ignore[assignment]
        async with (
            api(tmp_path / "1", store=store) as first,
            api(tmp_path / "2", beside=first, store=store) as second,
        ):
            await wait_for(lambda: second.controller.leadership.leader == "controller-1")
            assert second.controller.leadership.term is None
            body = {"reason": "disk swap"}
            async with second.here() as session:
                headers = {"X-Holdfast-By": "anna"}
                async with session.post("/v1/disarm", json=body, headers=headers) as answer:
                    told = await answer.json()
                    assert (answer.status, told["disarm"]["owner"]) == (200, "anna"), told
                async with session.post("/v1/disarm", json={"reason": " "}) as answer:
                    assert answer.status == 400, "the leader's own words"
            assert first.controller.registry.disarm() is not None
            done, refused = await first.controller.audit.newest(9)
            assert (done.who, done.role, done.outcome) == ("anna", "administer", "done")
            assert done.origin == "this host, through controller-2"
            assert refused.outcome == "refused"
            passed, _ = await second.controller.audit.newest(9)
            assert (passed.outcome, passed.reason) == ("passed on", "controller-1 leads")
            see = await first.token(Role.SEE)
            async with first.there(see) as session:
                lie = {"X-Holdfast-From": "x", "X-Holdfast-Role": "administer"}
                assert (await session.post("/v1/arm", headers=lie)).status == 403

    asyncio.run(work())


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ((), "controller-9 leads, and nobody knows its address"),
        (("127.0.0.9",), "controller-9 leads, and could not be asked"),
    ],
)
def test_a_leader_that_is_away_is_said(tmp_path: Path, places: tuple[str, ...], said: str) -> None:
    async def work() -> None:
        subject = Subject("h2", "h2", ("127.0.0.2",), is_controller=True)
        certificates = Certificates(certify(tmp_path, Authority.make("a site"), subject))
        known = [ControllerPlace(name="controller-9", address=address) for address in places]
        leader = Leader(certificates, lambda: known, free_port(["127.0.0.9"]))
        caller = Caller(name="anna\r\nX-Holdfast-Role: see", role=Role.SEE, origin="here")
        with pytest.raises(Refusal, match=said) as refused:
            await leader.ask("controller-9", route_for("arm", ()), {}, caller)
        assert (refused.value.status, refused.value.code) == (503, 3)

    asyncio.run(work())
