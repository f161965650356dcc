"""While its service starts the controller anew, a command waits; without a service it does not."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.faces.cli import pausing
from holdfast.faces.cli.calling import NOBODY_HERE, Away
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.supervise import supervisor
from holdfast.facts.settings import Settings
from tests.faces.conftest import Run
from tests.faces.programs_that_answer import HANG_UP, answering

SITE = {"ca": {"fingerprint": "f", "certificate": "pem"}}


@pytest.fixture
def supervised(run_dir: Path) -> Iterator[Path]:
    """A process that looks like the supervisor of this run directory."""
    argv = [sys.executable, "-c", "import time; time.sleep(60)", "supervise"]
    with subprocess.Popen(argv) as process:
        try:
            (run_dir / "supervise.pid").write_text(f"{process.pid}\n")
            deadline = time.monotonic() + 10
            while supervisor(run_dir / "supervise.pid") is None:
                assert time.monotonic() < deadline, "it has not begun"
                time.sleep(0.01)
            yield run_dir
        finally:
            process.kill()


@pytest.mark.slow
def test_a_controller_that_comes_back_is_waited_for(run: Run, supervised: Path) -> None:
    answered, is_over = threading.Event(), threading.Event()

    def come_back() -> None:
        time.sleep(1)  # It is away for a moment: that is the story.
        with answering(supervised, "controller", SITE):
            answered.set()
            is_over.wait(20)

    thread = threading.Thread(target=come_back)
    thread.start()
    try:
        ran = run("ca", "show")
    finally:
        is_over.set()
        thread.join()
    assert answered.is_set()
    assert (ran.code, ran.err) == (0, "")
    assert "fingerprint (SHA-256): f" in ran.out


def test_one_that_stays_away_is_said_to_be_started_anew(supervised: Path) -> None:
    asked = []

    def ask() -> None:
        asked.append(time.monotonic())
        raise Away(NOBODY_HERE)

    settings = Settings(run_dir=str(supervised))
    with pytest.raises(Failure, match="is being started anew, and does not answer") as caught:
        pausing.wait_out(settings, ask, lambda _away: True, patience_s=0.4)
    assert len(asked) > 1
    assert caught.value.code == Exit.AWAY
    assert caught.value.hint.startswith("try again in a moment")


def test_a_change_that_may_have_been_made_is_not_made_twice(run: Run, supervised: Path) -> None:
    with answering(supervised, "controller", {"group-forget": HANG_UP}) as fake:
        ran = run("group", "forget", "g")
    assert ran.code == 3
    assert "the controller ended while it was asked" in ran.err
    assert len([one for one in fake.asked if one.name == "group-forget"]) <= 1


def test_without_a_service_nobody_is_waited_for(run: Run, run_dir: Path) -> None:
    began = time.monotonic()
    assert run("group", "list").code == 3
    assert time.monotonic() - began < pausing.PATIENCE_S / 2
