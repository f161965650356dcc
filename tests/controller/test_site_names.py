"""A certificate holds no name and no address of another host."""

from pathlib import Path
from typing import Any

import pytest

from holdfast.ports.answers import Unanswerable
from tests.controller.joining_house import ADDRESS, House, refused, run


@pytest.mark.parametrize("address", [ADDRESS, f"::ffff:{ADDRESS}", "10.1.0.1"])
def test_a_host_gets_no_certificate_for_a_controllers_address(tmp_path: Path, address: str) -> None:
    async def story(house: House) -> None:
        token = await house.token()
        with pytest.raises(Unanswerable, match="is the address of h1, a controller"):
            await house.join(token, addresses=["10.0.0.4", address])
        assert (await house.ask("joins"))[0]["state"] == "open"
        await house.join(token)
        with pytest.raises(Unanswerable, match="is the address of h1, a controller"):
            await house.renew(house.peer("h4"), addresses=[address])
        assert house.addresses("h4") == ("10.0.0.4",)

    run(tmp_path, story)


def test_an_address_that_many_hosts_have_stays_with_the_first(tmp_path: Path) -> None:
    bridge = "192.168.122.1"

    async def story(house: House) -> None:
        await house.join(await house.token(), "h4", addresses=["10.0.0.4", bridge])
        await house.join(await house.token(), "h5", addresses=["10.0.0.5", bridge])
        assert house.addresses("h4") == ("10.0.0.4", bridge)
        assert house.addresses("h5") == ("10.0.0.5",)
        await house.joining.leave({}, house.peer("h4"))
        assert await house.renew(house.peer("h5"), addresses=["10.0.0.5", bridge]) == (
            "10.0.0.5",
            bridge,
        )

    run(tmp_path, story)


def test_renewing_keeps_what_the_certificate_says(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        peer = house.peer("h4", ("h4", "localhost", "10.0.0.4", "2001:DB8::4"))
        assert await house.renew(peer) == ("10.0.0.4", "2001:db8::4")
        assert ADDRESS in await house.renew(house.certificates.me)

    run(tmp_path, story)


@pytest.mark.parametrize("said", [5, "10.0.0.4", {"a": 1}, [5], ["x"], ["10.0.0.4"] * 300])
def test_odd_addresses_are_refused_in_words(tmp_path: Path, said: Any) -> None:
    async def story(house: House) -> None:
        await house.renew(house.peer("h4"), addresses=said)

    assert "addresses" in refused(tmp_path, story)[0]


@pytest.mark.parametrize("name", ["H1", "H4"])
def test_names_are_told_apart_without_case(tmp_path: Path, name: str) -> None:
    async def story(house: House) -> None:
        await house.join(await house.token(), "h4")
        await house.join(await house.token(), name, addresses=["10.0.0.9"])

    text, hint = refused(tmp_path, story)
    assert f"{name} differs from it in case alone" in text
    assert "--name NAME" in hint


def test_a_host_does_not_take_the_name_of_a_controller(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await house.join(await house.token(), "h1")

    text, hint = refused(tmp_path, story)
    assert text == "h1 is the name of a controller of this site"
    assert "certificate revoke h1" in hint


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"address": ADDRESS}, f"{ADDRESS} is not in the certificate of h2"),
        ({"address": 5}, "addresses are IP addresses"),
        ({"address": "10.0.0.2", "planes": 5}, "planes must be an object"),
        ({"address": "10.0.0.2", "planes": [1]}, "planes must be an object"),
        ({"address": "10.0.0.2", "planes": {"a": 5}}, "addresses are IP addresses"),
        ({"address": "10.0.0.2", "planes": {"a": ADDRESS}}, f"{ADDRESS} is not in the certificate"),
    ],
)
def test_a_controllers_place_is_where_its_certificate_says(
    tmp_path: Path, said: dict[str, Any], words: str
) -> None:
    async def story(house: House) -> None:
        await house.joining.joined(said, house.peer("h2", ("h2", "10.0.0.2"), is_controller=True))

    assert words in refused(tmp_path, story)[0]
