"""What the ear believes: only a rising sequence, signed with the host's key, is a sign of life."""

from dataclasses import replace

import pytest

from holdfast.controller.ear_hosts import (
    MOST_BOOTS,
    REORDERED,
    REPEATED,
    UNKNOWN_HOST,
    WRONG_PLANE,
)
from holdfast.facts.layers import Layer, LayerState
from holdfast.facts.pulse import (
    DIGEST_BYTES,
    MALFORMED,
    OTHER_VERSION,
    WRONG_KEY,
    Kind,
    encode_probe,
    sign,
)
from tests.controller.ear_scene import MS, FakeHost, Scene, brief


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_host_is_heard_once_and_silent_once_on_each_plane(scene: Scene) -> None:
    host = FakeHost("h1")
    scene.know(host)
    assert brief(scene.run(2_000, host)) == [
        ("heard", "h1", "a", "boot-1"),
        ("said", "h1", "boot-1"),
        ("heard", "h1", "b", "boot-1"),
    ]
    silent = scene.run(4_000)
    assert brief(silent) == [("silent", "h1", "a", "boot-1"), ("silent", "h1", "b", "boot-1")]
    assert silent[0]["last"] == 1_950 * MS
    assert silent[0]["at"] == 2_150 * MS, "four periods after the last pulse"
    assert silent[0]["missed"] == 4
    assert brief(scene.run(5_000, host))[0] == ("heard", "h1", "a", "boot-1")


def test_three_lost_pulses_are_no_silence(scene: Scene) -> None:
    host = FakeHost("h1")
    scene.know(host)
    scene.run(2_000, host)
    scene.now_ms = 2_149
    scene.ear.judge(scene.at)
    scene.take(host.pulse())
    scene.ear.judge(scene.at)
    assert scene.said() == []


def test_one_plane_is_silent_alone(scene: Scene) -> None:
    host = FakeHost("h1")
    scene.know(host)
    scene.run(2_000, host)
    assert brief(scene.run(3_000, host, planes="a")) == [("silent", "h1", "b", "boot-1")]


def test_a_host_that_was_never_heard_is_missed_when_its_grace_ends(scene: Scene) -> None:
    scene.know(FakeHost("h1"), boots={"old": 3, "last": 8})
    assert scene.run(2_000) == []
    assert brief(scene.run(2_020)) == [("silent", "h1", "a", "last"), ("silent", "h1", "b", "last")]


def test_the_newest_pulse_of_another_host_is_told_with_a_silence(scene: Scene) -> None:
    dead, alive, own = FakeHost("h1"), FakeHost("h2"), FakeHost("h3")
    scene.know(dead, alive, own)
    scene.ear.own = "h3"
    scene.run(2_000, dead, alive, own)
    assert scene.run(2_500, alive, own)[0]["other"] == 2_150 * MS
    lone = Scene()
    lone.know(dead, own)
    lone.ear.own = "h3"
    lone.run(2_000, dead, own)
    assert lone.run(2_500, own)[0]["other"] is None, "that we hear ourselves says nothing"


def test_pulses_that_are_replayed_are_no_sign_of_life(scene: Scene) -> None:
    host = FakeHost("h1")
    scene.know(host)
    scene.run(2_000, host)
    recorded = [host.pulse("a") for _ in range(100)]
    for data in recorded:
        scene.take(data)
    scene.said()
    for data in recorded * 2:
        scene.now_ms += 10
        scene.take(data)
        scene.ear.judge(scene.at)
    assert ("silent", "h1", "a", "boot-1") in brief(scene.said())
    assert scene.ear.refused[REPEATED] == 200


def test_duplicates_and_late_ones_are_counted_apart(scene: Scene) -> None:
    host = FakeHost("h1")
    scene.know(host)
    first, second, third = host.pulse(), host.pulse(), host.pulse()
    for data in (first, third, second, second, third):
        scene.take(data)
    assert scene.ear.refused == {REORDERED: 1, REPEATED: 2}
    assert scene.ear.accepted == 2


def test_a_pulse_from_the_past_does_not_count_even_when_it_was_never_heard(scene: Scene) -> None:
    host = FakeHost("h1")
    scene.know(host)
    held_back = [host.pulse() for _ in range(30)]
    scene.run(2_000, host)
    for data in held_back:
        scene.now_ms += 10
        scene.take(data)
        scene.ear.judge(scene.at)
    assert brief(scene.said())[-2:] == [
        ("silent", "h1", "a", "boot-1"),
        ("silent", "h1", "b", "boot-1"),
    ]


def test_after_the_ear_began_anew_old_pulses_are_still_old(scene: Scene) -> None:
    host = FakeHost("h1")
    scene.know(host)
    scene.run(2_000, host)
    recorded = [host.pulse(sequence=number) for number in range(1, host.sequence + 1)]
    kept = scene.ear.boots()["h1"]
    again = Scene()
    again.know(host, boots=kept)
    for data in recorded:
        again.take(data)
    assert again.said() == []
    again.take(host.pulse())
    assert brief(again.said())[0] == ("heard", "h1", "a", "boot-1")


def test_the_keys_of_two_hosts_swapped_are_refused_and_named(scene: Scene) -> None:
    one, other = FakeHost("h1"), FakeHost("h2")
    scene.know(one, other)
    one.key, other.key = other.key, one.key
    said = scene.run(2_500, one, other)
    assert [line for line in brief(said) if line[0] == "heard"] == []
    assert {line[1] for line in brief(said) if line[0] == "silent"} == {"h1", "h2"}
    scene.ear.tell_refused(scene.at)
    refused = scene.said()
    assert {(r["host"], r["reason"], r["sender"]) for r in refused} == {
        ("h1", WRONG_KEY, "10.0.0.1"),
        ("h2", WRONG_KEY, "10.0.0.1"),
    }
    assert sum(r["count"] for r in refused) == scene.ear.refused[WRONG_KEY] == 120


def test_a_forged_pulse_does_not_keep_a_dead_host_alive(scene: Scene) -> None:
    host = FakeHost("h1")
    scene.know(host)
    scene.run(2_000, host)
    forger = replace(host, key=b"f" * 32)
    assert brief(scene.run(2_500, forger)) == [
        ("silent", "h1", "a", "boot-1"),
        ("silent", "h1", "b", "boot-1"),
    ]


def test_forged_first_pulses_leave_nothing_behind(scene: Scene) -> None:
    scene.know(FakeHost("h1"))
    for number in range(100):
        scene.take(FakeHost("h1", key=b"f" * 32, boot=f"boot-{number}").pulse())
    assert scene.ear._windows == {}
    assert scene.ear.refused == {WRONG_KEY: 100}


def test_a_new_key_of_a_host_is_believed_from_its_greeting_on(scene: Scene) -> None:
    host = FakeHost("h1")
    scene.know(host)
    scene.run(2_000, host)
    renewed = replace(host, key=b"n" * 32)
    scene.know(renewed)
    assert scene.run(3_000, renewed) == []
    scene.take(host.pulse(sequence=10_000))
    assert scene.ear.refused[WRONG_KEY] == 1


@pytest.mark.parametrize(
    ("data", "plane", "reason"),
    [
        (b"", "a", MALFORMED),
        (b"x", "a", MALFORMED),
        (b"x" * 1_500, "a", MALFORMED),
        (FakeHost("h1").pulse()[:-20], "a", WRONG_KEY),
        (FakeHost("h9").pulse(), "a", UNKNOWN_HOST),
        (FakeHost("h1").pulse("b"), "a", WRONG_PLANE),
        (FakeHost("h1").pulse("z"), "a", WRONG_PLANE),
        (encode_probe("h1", "a", b"n" * 16, FakeHost("h1").key), "a", MALFORMED),
        (b"HFP\x09" + FakeHost("h1").pulse()[4:], "a", OTHER_VERSION),
        (sign(b"HFP\x01" + bytes((Kind.PULSE, 11)) + b"h1\na\nboot-1\n", FakeHost("h1").key), "a",
         MALFORMED),
    ],
)  # fmt: skip
def test_what_is_not_believed_is_counted(
    scene: Scene, data: bytes, plane: str, reason: str
) -> None:
    scene.know(FakeHost("h1"))
    scene.take(data, plane)
    assert scene.ear.refused == {reason: 1}
    assert scene.said() == []


def test_a_datagram_carried_to_another_plane_is_refused_also_when_its_boot_is_known(
    scene: Scene,
) -> None:
    host = FakeHost("h1")
    scene.know(host)
    scene.run(2_000, host)
    host.sequence += 1
    scene.take(host.pulse("b"), "a")
    assert scene.ear.refused == {WRONG_PLANE: 1}


def test_a_pulse_that_is_upgraded_in_the_same_boot_is_heard_on(scene: Scene) -> None:
    """A newer version adds to the end; the ear of the version before it reads what it knows."""
    host = FakeHost("h1", layers={Layer.AGENT: LayerState.WELL})
    scene.know(host)
    scene.run(2_000, host)
    for version in (2, 1):
        for _ in range(10):
            scene.now_ms += 50
            plain = host.pulse()[:-DIGEST_BYTES]
            added = b"more" if version == 2 else b""
            scene.take(sign(plain[:3] + bytes((version,)) + plain[4:] + added, host.key))
            scene.take(host.pulse("b"), "b")
            scene.ear.judge(scene.at)
    assert {line[0] for line in brief(scene.said())} <= {"heard"}
    assert scene.ear.refused == {}


def test_a_reboot_is_heard_as_another_boot(scene: Scene) -> None:
    host = FakeHost("h1", layers={Layer.AGENT: LayerState.WELL})
    scene.know(host)
    scene.run(2_000, host)
    scene.run(3_000)
    again = replace(host, boot="boot-2", sequence=0)
    assert brief(scene.run(3_500, again)) == [
        ("heard", "h1", "a", "boot-2"),
        ("said", "h1", "boot-2"),
        ("heard", "h1", "b", "boot-2"),
    ]
    scene.take(host.pulse(sequence=10_000))
    assert scene.said() == [], "one that went astray is no second host"


def test_a_reboot_that_is_faster_than_its_silence_is_no_clone(scene: Scene) -> None:
    host = FakeHost("h1")
    scene.know(host)
    scene.run(2_000, host)
    again = replace(host, boot="boot-2", sequence=0)
    said = brief(scene.run(4_000, again, planes="a"))
    assert [line for line in said if line[0] != "said"] == [
        ("heard", "h1", "a", "boot-2"),
        ("silent", "h1", "b", "boot-2"),
    ]


def test_a_cloned_host_is_told_again_and_again(scene: Scene) -> None:
    host = FakeHost("h1")
    scene.know(host)
    scene.run(2_000, host)
    clone = replace(host, boot="boot-2")
    said = scene.run(13_000, host, clone)
    crossed = [one for one in said if one["is"] == "crossed"]
    assert len(crossed) == 3, "each five seconds"
    assert crossed[0]["boots"] == ["boot-2", "boot-1"]
    assert [line for line in brief(said) if line[0] == "silent"] == []
    assert brief(scene.run(20_000, host)) == [
        ("heard", "h1", "a", "boot-1"),
        ("said", "h1", "boot-1"),
        ("heard", "h1", "b", "boot-1"),
    ], "the clone is gone, and the host lives"


def test_clones_on_different_planes_are_crossed_too(scene: Scene) -> None:
    host = FakeHost("h1")
    scene.know(host)
    scene.run(2_000, host)
    clone = replace(host, boot="boot-2")
    for _ in range(20):
        scene.now_ms += 50
        scene.take(host.pulse("a"), "a", ("10.0.0.1", 1))
        clone.sequence += 1
        scene.take(clone.pulse("b"), "b", ("10.0.1.2", 1))
    crossed = [one for one in scene.said() if one["is"] == "crossed"]
    assert [one["senders"] for one in crossed] == [["10.0.1.2", "10.0.0.1"]]


def test_what_waited_in_another_socket_over_a_boot_is_no_clone(scene: Scene) -> None:
    """An ear that slept over a boot reads one plane's socket after the other."""
    host = FakeHost("h1")
    scene.know(host)
    scene.run(2_000, host)
    old, new = host, replace(host, boot="boot-2")
    scene.ear.is_late = True  # All of it had waited, and a clock that was set tells no order.
    for plane in ("a", "b"):
        for sender in (old, new):
            for _ in range(10):
                sender.sequence += 1
                scene.take(sender.pulse(plane), plane)
    scene.ear.is_late = False
    assert [one for one in scene.said() if one["is"] == "crossed"] == []


def test_more_boots_than_are_remembered_are_forgotten_from_the_oldest(scene: Scene) -> None:
    host = FakeHost("h1")
    scene.know(host)
    for number in range(MOST_BOOTS + 3):
        scene.now_ms += 1_000
        scene.take(replace(host, boot=f"boot-{number}").pulse())
    boots = scene.ear.boots()["h1"]
    assert list(boots) == [f"boot-{number}" for number in range(3, MOST_BOOTS + 3)]


def test_time_in_which_nothing_could_be_heard_is_no_silence(scene: Scene) -> None:
    host = FakeHost("h1")
    scene.know(host)
    scene.run(2_000, host)
    scene.now_ms += 1_000
    scene.ear.excuse(1_000 * MS)
    scene.ear.judge(scene.at)
    assert scene.said() == []
    assert len(scene.run(3_200)) == 2


def test_a_host_that_was_excused_for_long_is_missed_as_fast_as_any_once_it_was_heard(
    scene: Scene,
) -> None:
    host = FakeHost("h1")
    scene.know(host)
    scene.run(2_000, host)
    scene.ear.excuse(3_000 * MS)
    scene.run(3_000)
    assert scene.run(3_500, host) == []
    assert [one["at"] for one in scene.run(9_000)] == [3_650 * MS] * 2


def test_a_host_that_was_given_long_to_be_heard_is_missed_as_fast_as_any_once_it_was(
    scene: Scene,
) -> None:
    host = FakeHost("h1")
    scene.know(host, grace_ms=60_000)
    scene.run(1_500)
    scene.run(2_000, host)
    assert [one["at"] for one in scene.run(9_000)] == [2_150 * MS] * 2


def test_a_host_that_left_is_not_missed_and_not_believed(scene: Scene) -> None:
    host = FakeHost("h1")
    scene.know(host)
    scene.run(2_000, host)
    scene.ear.forget("h1")
    assert scene.run(3_000, host) == []
    assert scene.ear.refused[UNKNOWN_HOST] == 40


def test_a_plane_that_a_host_gave_up_is_not_missed(scene: Scene) -> None:
    host = FakeHost("h1")
    scene.know(host)
    scene.run(2_000, host)
    scene.ear.know("h1", host.key, ("a",), {}, 0, scene.at)
    assert scene.run(3_000, host, planes="a") == []


def test_a_flood_is_counted_by_sender(scene: Scene) -> None:
    host = FakeHost("h1")
    scene.know(host)
    scene.ear.known_addresses = frozenset({"10.0.0.1"})
    for port in range(2_000):
        scene.take(b"rubbish", sender=("10.9.9.9", port))
        scene.take(b"rubbish", sender=("10.0.0.1", port % 4 + 1))
    assert scene.ear.pressing[("10.9.9.9", 0)] == 2_000
    assert scene.ear.pressing[("10.0.0.1", 3)] == 500
    assert ("10.0.0.1", 0) not in scene.ear.pressing
