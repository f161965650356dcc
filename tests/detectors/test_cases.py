"""Every case of every detector says what its text says; `make rewrite` accepts what is new."""

from pathlib import Path

import pytest

from holdfast.ports.plugins import names
from tests.detectors.cases import DASHES, BadCase, parse_case, run_case

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("*/*.txt"))
DETECTORS = [name for name in names("holdfast.detectors") if name != "panel"]


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


@pytest.mark.parametrize("name", DETECTORS)
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
