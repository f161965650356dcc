"""Two planes with one address leave a host deaf: init and join refuse them, however they came."""

from pathlib import Path

import pytest

from holdfast.faces.cli import site_commands
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.joining import Joiner
from holdfast.facts.membership import SitePlan
from holdfast.facts.settings import ControllerPlace, Plane, Settings
from tests.ports import free_port

ADDRESS, OTHER = "127.0.0.1", "127.0.0.2"
OURS = [ADDRESS, OTHER]
TOKEN = f"1a2b3c4d.secret.{'0' * 64}"
PLANES = (Plane(name="a", address=ADDRESS),)
REFUSED = f"planes a and b both have {ADDRESS}"


@pytest.mark.parametrize(
    ("written", "typed"), [((), (f"a={ADDRESS}", f"b={ADDRESS}")), (PLANES, (f"b={ADDRESS}",))]
)
def test_init_refuses_two_planes_with_one_address(
    written: tuple[Plane, ...], typed: tuple[str, ...]
) -> None:
    with pytest.raises(Failure) as refused:
        site_commands._own_planes(Settings(planes=written), typed, OURS)
    assert refused.value.message.startswith(REFUSED)
    assert refused.value.code == Exit.USAGE
    assert "holdfast init --plane b=ADDRESS" in refused.value.hint


def test_init_takes_two_planes_with_two_addresses() -> None:
    found = site_commands._own_planes(Settings(planes=PLANES), (f"b={OTHER}",), OURS)
    assert found == {"a": ADDRESS, "b": OTHER}


def joiner(settings: Settings, **planes: str) -> Joiner:
    return Joiner(
        settings=settings,
        config="/x/holdfast.toml",
        place=f"{ADDRESS}:{free_port()}",
        token=TOKEN,
        is_controller=False,
        planes=planes,
        addresses=OURS,
    )


def test_join_refuses_them_before_anybody_is_asked(tmp_path: Path) -> None:
    with pytest.raises(Failure) as refused:  # Whoever asks hears that no controller is there.
        joiner(Settings(state_dir=str(tmp_path), planes=PLANES), b=ADDRESS).ask()
    assert refused.value.message.startswith(REFUSED)
    assert "holdfast join --plane b=ADDRESS" in refused.value.hint


def test_join_refuses_what_the_route_makes_of_two_planes() -> None:
    there = ControllerPlace(name="c1", address=ADDRESS, planes={"a": ADDRESS, "b": OTHER})
    plan = SitePlan(controllers=(there,), planes=("a", "b"), store="sqlite")
    with pytest.raises(Failure) as refused:
        joiner(Settings())._own_planes(plan)
    assert refused.value.message.startswith(REFUSED)
    assert "with a new token" in refused.value.hint
    assert joiner(Settings(), b=OTHER)._own_planes(plan) == {"a": ADDRESS, "b": OTHER}
