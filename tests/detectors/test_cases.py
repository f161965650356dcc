"""Every case of every detector says what its text says; `make rewrite` accepts what is new."""

from pathlib import Path

import pytest

from holdfast.detectors.panel import detector_names, make_panel, seat_of
from holdfast.facts.verdicts import FaultRaised
from tests.detectors.cases import (
    DASHES,
    RECORDINGS,
    BadCase,
    parse_case,
    play,
    read_recording,
    run_case,
)

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("*/*.txt"))
DETECTORS = detector_names()


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_case(path: Path, rewrite: bool) -> None:
    text = path.read_text()
    case = parse_case(text)
    said = run_case(path.parent.name, case)
    if rewrite and said != case.said:
        above = text.partition(f"\n{DASHES}\n")[0]
        path.write_text(f"{above}\n{DASHES}\n{said}")
    else:
        assert said == case.said


# What they judge is Holdfast's own doing, no product's: there is nothing foreign to record.
OF_OUR_OWN = {
    "records_lost",
    "reporting_slow",
    *(name for name in DETECTORS if seat_of(name) == "controller"),
}
WANTED = (
    *("powered_off", "shut_down", "destroyed", "managed_saved", "migrated"),
    *("rebooted", "suspended_and_resumed"),
)


@pytest.mark.parametrize("product", sorted(path.name for path in RECORDINGS.glob("qemu-*")))
@pytest.mark.parametrize("name", WANTED)
def test_what_was_wanted_raises_nothing_in_any_detector(product: str, name: str) -> None:
    said = play(make_panel(), read_recording(f"{product}/{name}"))
    assert not [verdict for _, verdict in said if isinstance(verdict, FaultRaised)]


@pytest.mark.parametrize("name", sorted(set(DETECTORS) - OF_OUR_OWN))
def test_every_detector_has_a_recorded_case(name: str) -> None:
    cases = [path.read_text() for path in CASES if path.parent.name == name]
    assert any("\nrecorded " in text for text in cases)


def test_every_folder_of_cases_is_a_detectors() -> None:
    assert {path.parent.name for path in CASES} == set(DETECTORS)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("+ 0 ms VmAppeared web\n", "no line ----"),
        ("+ 0 ms VmVanished web\n----\n", "no observation VmVanished"),
        ("+ 0 ms AgentSilent web since=3\n----\n", "AgentSilent has no since"),
        ("+ 0 ms QemuThreadEnded web status=big\n----\n", "status"),
    ],
)
def test_a_bad_case_is_named(text: str, complaint: str) -> None:
    with pytest.raises(BadCase, match=complaint):
        parse_case(f"Says.\n{text}")
