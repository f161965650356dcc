"""Whether a guest answers as promised: each way, and what does not count as an answer."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from holdfast.adapters.simulated.hypervisor import HypervisorInMemory
from holdfast.agent.answers import Answers
from holdfast.facts.promises import Answer, AnswerKind, parse_answer
from tests.agent.scene import BOOT, domain_of


class Scene:
    """A VM that runs; its console is a file."""

    def __init__(self, folder: Path, *, has_agent: bool = False) -> None:
        self.console = folder / "console.log"
        self.hypervisor = HypervisorInMemory(BOOT)
        self.hypervisor.add(msgspec.structs.replace(domain_of("a"), console_log=str(self.console)))
        self.life = asyncio.run(self.hypervisor.start("a"))
        self.is_open = True
        self.answers = Answers(
            self.hypervisor,
            lambda life: self.hypervisor.life("a") == life,
            lambda _: has_agent,
            is_open=lambda _: self.is_open,
        )

    def pings(self) -> int:
        return [call for call, *_ in self.hypervisor.calls].count("ping_agent")

    def wait(
        self, answer: Answer, limit_ms: int = 150, meanwhile: Callable[[], object] = lambda: None
    ) -> tuple[str, bool] | None:
        async def story() -> tuple[str, bool] | None:
            waiter = asyncio.create_task(self.answers.wait_answer(self.life, answer, limit_ms))
            await asyncio.sleep(0.02)
            meanwhile()
            async with asyncio.timeout(30):
                return await waiter

        return asyncio.run(story())


def test_the_agent_answers_or_does_not(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert scene.wait(Answer(kind=AnswerKind.AGENT)) is None
    scene.hypervisor.answering.add("a")
    said = scene.wait(Answer(kind=AnswerKind.AGENT))
    assert said == ("its guest agent answers", True)


def test_an_agent_without_its_channel_is_asked_rarely(tmp_path: Path) -> None:
    """Libvirt is asked for it, by every VM that boots."""
    scene = Scene(tmp_path)
    scene.is_open = False
    assert scene.wait(Answer(kind=AnswerKind.AGENT), 600) is None
    rarely = scene.pings()
    assert 2 <= rarely <= 3
    scene.is_open = True
    assert scene.wait(Answer(kind=AnswerKind.AGENT), 600) is None
    assert scene.pings() - rarely >= 5


def test_an_agent_is_asked_as_soon_as_it_opens_its_channel(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.is_open = False

    def open_it() -> None:
        scene.is_open = True
        scene.hypervisor.answering.add("a")

    said = scene.wait(Answer(kind=AnswerKind.AGENT), 20_000, open_it)
    assert said == ("its guest agent answers", True)
    assert scene.pings() == 2, "at first, and then"


def test_where_nothing_is_promised_a_known_agent_is_asked(tmp_path: Path) -> None:
    scene = Scene(tmp_path, has_agent=True)
    assert scene.wait(Answer()) is None
    scene.hypervisor.answering.add("a")
    assert scene.wait(Answer()) == ("its guest agent answers", True)


def test_an_agent_that_was_never_heard_here_is_asked_too(tmp_path: Path) -> None:
    """A host to which the VM of a dead one came never heard it before."""
    scene = Scene(tmp_path)
    assert scene.wait(Answer()) is None
    scene.hypervisor.answering.add("a")
    assert scene.wait(Answer()) == ("its guest agent answers", True)


@pytest.mark.slow
def test_running_on_verifies_only_where_it_was_promised(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert scene.wait(parse_answer("running:0")) == ("it has run for 0 s", True)
    assert scene.wait(Answer(), 20_000) == ("it has run for 10 s", False)


def test_a_console_says_it_after_the_start_and_not_before(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.console.write_text("login: of an earlier life\n")
    assert scene.wait(parse_answer("console:login:")) is None

    def say() -> None:
        with scene.console.open("a") as file:
            file.write("login:\n")

    said = scene.wait(parse_answer("console:login:"), 20_000, say)
    assert said == ("its console says 'login:'", True)


def test_a_port_that_accepts_answers(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story() -> tuple[str, bool] | None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            answer = parse_answer(f"tcp:127.0.0.1:{port}")
            said = await scene.answers.wait_answer(scene.life, answer, 20_000)
        assert said == (f"port {port} of 127.0.0.1 accepts connections", True)
        return await scene.answers.wait_answer(scene.life, answer, 100)

    assert asyncio.run(story()) is None, "nobody listens any more"


def test_the_end_of_the_life_ends_the_wait(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    said = scene.wait(Answer(kind=AnswerKind.AGENT), 25_000, lambda: scene.hypervisor.kill("a"))
    assert said is None
    assert not scene.answers.still_runs(scene.life)
