"""A VM that left its host by hand, and that nobody has, is not forgotten.

covers: H2 H9
"""

from msgspec import structs

from holdfast.facts.tenure import TenureState
from holdfast.policy.timing import ADRIFT_AFTER_MS
from tests.policy.migration_scene import MigrationScene

ALARM = "vm-adrift web1"


def left() -> MigrationScene:
    """h1 has seen it leave, and the host that it went to died before it told of it."""
    scene = MigrationScene()
    tenure = structs.replace(scene.tenures["web1"], state=TenureState.MIGRATING, revision=5)
    scene.tenures["web1"] = tenure
    scene.hold("web1", tenure, scene.world.promises["web1"].needs)
    scene.runs("h1")
    return scene


def test_it_is_told_once_nobody_has_had_it_for_a_while() -> None:
    scene = left()
    scene.wait(ADRIFT_AFTER_MS - 1_000)
    assert ALARM not in scene.open_alarms, "it may be on its way"
    scene.wait(2_000)
    said = scene.open_alarms[ALARM]
    assert said == "web1 left h1 by hand, and no host says that it runs there"
    assert scene.did == [], "and it is started nowhere"


def test_it_is_over_when_a_host_says_that_it_runs_there() -> None:
    scene = left()
    scene.wait(ADRIFT_AFTER_MS + 1_000)
    assert ALARM in scene.open_alarms
    scene.runs("h2", "web2", "web1")
    assert ALARM not in scene.open_alarms


def test_what_moves_and_is_still_at_its_host_is_not_adrift() -> None:
    scene = left()
    scene.runs("h1", "web1")
    scene.wait(ADRIFT_AFTER_MS + 1_000)
    assert ALARM not in scene.open_alarms


def test_it_is_over_when_it_is_held_again() -> None:
    scene = left()
    scene.wait(ADRIFT_AFTER_MS + 1_000)
    held = structs.replace(scene.tenures["web1"], state=TenureState.HELD, revision=6)
    scene.hold("web1", held, scene.world.promises["web1"].needs)
    scene.wait(1_000)
    assert ALARM not in scene.open_alarms
