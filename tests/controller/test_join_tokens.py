"""What becomes of a token, and of certificates, when a join comes to nothing half-way."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.facts.membership import CERTIFICATES, Issued
from holdfast.ports.store import StoreAway, Txn
from tests.controller.fake_agent import wait_for
from tests.controller.joining_house import ADDRESS, House, refused, run


class AwayAfter(StoreInMemory):
    """It goes away after so many more changes, as during a change of its leader."""

    def __init__(self) -> None:
        super().__init__()
        self.changes_left: int | None = None

    async def txn(self, **asked: Any) -> Txn:
        if self.changes_left == 0:
            self.go_away()
        if self.changes_left is not None:
            self.changes_left -= 1
        return await super().txn(**asked)


@pytest.mark.parametrize("changes", [1, 2])
def test_a_store_that_goes_away_in_the_middle_leaves_token_and_certificate(
    tmp_path: Path, changes: int
) -> None:
    async def story(house: House) -> None:
        assert isinstance(house.store, AwayAfter)
        await house.join(await house.token(), "h4")
        [before] = house.issued("h4")
        token = await house.token()
        house.store.changes_left = changes
        work = asyncio.create_task(house.join(token, "h4"))
        await wait_for(lambda: house.store._is_away)
        if changes == 1:  # It cannot be recorded; the host tries again later.
            with pytest.raises(StoreAway):
                await work
        house.store.changes_left = None
        house.store.come_back()
        if changes == 2:  # Its old certificate is revoked as soon as that can be.
            await work
            token = await house.token()
        else:
            assert house.issued("h4") == [before]
        await wait_for(lambda: not house.joining.tokens._tasks)
        await house.join(token, "h4")
        assert len(house.issued("h4")) == 1

    run(tmp_path, story, make_store=AwayAfter)


def test_a_token_serves_when_the_store_loses_its_answer(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        token = await house.token()
        house.store.lose_next_answer(committed=True)
        await house.join(token)
        token = await house.token()
        house.store.lose_next_answer(committed=False)
        await house.join(token, "h5")

    run(tmp_path, story)


class Noting(StoreInMemory):
    """It notes how many certificates hold after each change."""

    def __init__(self) -> None:
        super().__init__()
        self.valid: list[int] = []

    async def txn(self, **asked: Any) -> Txn:
        done = await super().txn(**asked)
        held = (await self.list(f"{CERTIFICATES}/")).values()
        issued = [msgspec.json.decode(one.value, type=Issued) for one in held]
        self.valid.append(sum(one.host == "idh4" and not one.revoked_utc_ms for one in issued))
        return done


def test_a_host_that_joins_again_is_never_without_a_certificate(tmp_path: Path) -> None:
    """Else it would be taken for one that left, and whatever it had told would end."""

    async def story(house: House) -> None:
        assert isinstance(house.store, Noting)
        await house.join(await house.token(), "h4")
        house.store.valid.clear()
        await house.join(await house.token(), "h4")
        assert house.store.valid == [1, 1, 2, 1]  # A token made, spent; one comes, one goes.

    run(tmp_path, story, make_store=Noting)


@pytest.mark.parametrize("token", ["00000000.secret.00", "nothing"])
@pytest.mark.parametrize(
    "said",
    [
        {},
        {"host": "another"},
        {"host_name": "h5", "host": "idh4"},
        {"host_name": "H4"},
        {"addresses": [ADDRESS]},
        {"controller": True},
    ],
)
def test_who_has_no_token_is_told_nothing_of_the_site(
    tmp_path: Path, said: dict[str, Any], token: str
) -> None:
    async def story(house: House) -> None:
        await house.join(await house.token(), "h4")
        await house.join(token, "h4", **said)

    assert refused(tmp_path, story, store="sqlite")[0] == (
        "this token is none of this site, or was mistyped"
    )
