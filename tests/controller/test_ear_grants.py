"""The ear answers pulses with grants: those of hosts that the leader named, while its word lasts.

covers: H9
"""

from holdfast.controller.ear_grants import EarGrants
from holdfast.facts.lease_times import GRANT_AGAIN_MS
from holdfast.facts.pulse import Grant, Names, decode_grant
from tests.controller.ear_scene import MS, SENDER, FakeHost, Scene


def allow(scene: Scene, host: FakeHost, *, boot: str = "", until_ms: float = 5_000) -> EarGrants:
    grants = scene.ear.grants
    grants.told({"hosts": {host.name: (boot or host.boot, 7)}, "until": int(until_ms * MS)})
    return grants


def sent(scene: Scene, host: FakeHost) -> list[tuple[str, Grant]]:
    found: list[tuple[str, Grant]] = []

    def answer(plane: str, sender: tuple[str, int], data: bytes) -> None:
        assert sender == SENDER
        found.append((plane, decode_grant(data, host.key)))

    scene.ear.grants.send(answer, scene.at)
    return found


def pulse(scene: Scene, host: FakeHost, plane: str = "a", sequence: int | None = None) -> None:
    scene.ear.take(host.pulse(plane, sequence), plane, SENDER, scene.at)


def test_a_pulse_is_answered_by_its_number_on_its_plane_to_its_sender() -> None:
    scene, host = Scene(), FakeHost("h1")
    scene.know(host)
    allow(scene, host)
    pulse(scene, host)
    pulse(scene, host, "b")
    grants = sent(scene, host)
    assert [plane for plane, _ in grants] == ["a", "b"]
    assert grants[0][1] == Grant(Names("h1", "a", host.boot), 1, 0, 7)
    assert sent(scene, host) == []


def test_who_was_not_named_or_is_in_another_boot_is_not_answered() -> None:
    scene, host, other = Scene(), FakeHost("h1"), FakeHost("h2")
    scene.know(host, other)
    pulse(scene, host)
    assert sent(scene, host) == []
    allow(scene, host, boot="boot-0")
    pulse(scene, host)
    pulse(scene, other)
    assert sent(scene, host) == []


def test_a_pulse_that_was_heard_before_is_not_answered() -> None:
    scene, host = Scene(), FakeHost("h1")
    scene.know(host)
    allow(scene, host)
    pulse(scene, host)
    assert len(sent(scene, host)) == 1
    scene.now_ms += 2 * GRANT_AGAIN_MS
    pulse(scene, host, sequence=1)
    assert sent(scene, host) == []


def test_a_word_of_the_leader_that_is_over_grants_nothing() -> None:
    """Also to a pulse that came before it was over, and waited."""
    scene, host = Scene(), FakeHost("h1")
    scene.know(host)
    allow(scene, host, until_ms=scene.now_ms + 1)
    pulse(scene, host)
    scene.now_ms += 2
    assert sent(scene, host) == []


def test_it_is_granted_now_and_then_and_not_with_each_pulse() -> None:
    scene, host = Scene(), FakeHost("h1")
    scene.know(host)
    allow(scene, host, until_ms=60_000)
    count = 0
    for _ in range(40):
        pulse(scene, host)
        count += len(sent(scene, host))
        scene.now_ms += 50
    assert count == 40 * 50 / GRANT_AGAIN_MS
