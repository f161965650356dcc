"""What was heard of a host last is remembered, and told with its age."""

from holdfast.controller.life_signs import LifeSigns
from holdfast.facts import hearing as heard
from holdfast.facts.hearing import Sign, WitnessKind, WitnessSpoke
from holdfast.facts.instants import Instant


def silent(host: str, plane: str, last: Instant) -> heard.PlaneSilent:
    return heard.PlaneSilent(
        at=last, host=host, plane=plane, boot="boot-1", last_heard=last, missed=4
    )


def test_the_last_signs_of_life_are_told_with_their_age() -> None:
    signs, now = LifeSigns(), Instant(100_000_000_000)
    assert list(signs.tell("h", now)) == [
        "pulses: this controller has heard none since it began",
        "its agent: not linked since this controller began",
    ]
    sooner = Instant(90_000_000_000)
    signs.see(heard.PlaneHeard(at=sooner, host="h", plane="a", boot="b"))
    signs.see(heard.PlaneHeard(at=sooner, host="h", plane="b", boot="b"))
    signs.see(silent("h", "b", Instant(96_000_000_000)))
    signs.see(heard.LinkChanged(at=sooner, host="h", boot="b", is_up=True))
    for kind, witness, plane, sign in (
        (WitnessKind.PROBE, "", "a", Sign.NOTHING),
        (WitnessKind.AGENT, "h", "", Sign.NOTHING),
        (WitnessKind.AGENT, "h5", "b", Sign.KERNEL),
        (WitnessKind.CONTROLLER, "c2", "", Sign.UNKNOWN),
    ):
        said = WitnessSpoke(at=sooner, host="h", kind=kind, witness=witness, plane=plane, sign=sign)
        signs.see(said)
    assert list(signs.tell("h", now)) == [
        "plane a: it pulses",
        "plane b: last pulse 4.0 s ago",
        "its agent: link came up 10.0 s ago",
        "its own agent was asked, 10.0 s ago: no sign of life",
        "agent h5 was asked on plane b, 10.0 s ago: its kernel answers",
        "controller c2 was asked, 10.0 s ago: it does not know",
        "the host itself was asked on plane a, 10.0 s ago: no sign of life",
    ]
    signs.see(heard.EarBegan(at=now))
    signs.see(heard.LinkChanged(at=now, host="h", boot="b", is_up=False))
    told = list(signs.tell("h", now))
    assert told[:2] == ["plane b: last pulse 4.0 s ago", "its agent: link broke off 0.0 ms ago"]
    signs.see(heard.HostForgotten(at=now, host="h"))
    assert "has heard none" in next(iter(signs.tell("h", now)))
