"""What all tests share: the option that rewrites stories, and where lab tests may run."""

import gc
import os
from pathlib import Path

import pytest

# Contracts hold asserts without being named test_*: they too explain what failed.
for folder in Path(__file__).parent.iterdir():
    if folder.is_dir():
        pytest.register_assert_rewrite(f"tests.{folder.name}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite",
        action="store_true",
        help="accept what the system now says into the stories; review the diff",
    )


def pytest_collection_finish() -> None:
    """What was imported and collected lives to the end: no collection of garbage looks at it."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def rewrite(request: pytest.FixtureRequest) -> bool:
    """Whether stories are to be rewritten rather than compared."""
    return bool(request.config.getoption("--rewrite"))


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the lab tests of a file on one worker, since they share a lab; skip them without root."""
    for item in items:
        if item.get_closest_marker("lab") is None:
            continue
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
        if os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="the lab needs root"))
