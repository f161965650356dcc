"""A reason that a person typed is shown on one line, and steers no terminal."""

import asyncio
from pathlib import Path

from holdfast.facts.typed import cleaned
from tests.controller.fake_agent import ask
from tests.controller.house import running, settings

TYPED = "a switch\r\n\x1b[31m is\x07 replaced  "


def test_only_free_texts_are_put_on_one_line() -> None:
    assert cleaned({"reason": TYPED, "because": "I saw it", "secret": TYPED, "reason_s": 3}) == {
        "reason": "a switch [31m is replaced",
        "because": "I saw it",
        "secret": TYPED,
        "reason_s": 3,
    }


def test_what_a_controller_keeps_of_a_disarm_is_one_line(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            await ask(house.socket, "disarm", reason=TYPED, seconds=60)
            status = await ask(house.socket, "status")
            assert status["disarm"]["reason"] == "a switch [31m is replaced"

    asyncio.run(work())
