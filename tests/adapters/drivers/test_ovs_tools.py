"""A tool that hangs, fails or is not there costs its limit, and is named."""

import asyncio
import time

import pytest

from holdfast.adapters.drivers.ovs_tools import ToolFailed, run_tool


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["no-such-tool-77"], "no-such-tool-77 cannot be run: No such file"),
        (["sleep", "60"], "sleep took longer than 0.2 s"),
        (["sh", "-c", "echo first >&2; echo why >&2; exit 3"], "sh failed: why"),
        (["sh", "-c", "exit 3"], "sh failed: 3"),
    ],
)
def test_what_went_wrong_is_said_in_time(argv: list[str], complaint: str) -> None:
    began = time.monotonic()
    with pytest.raises(ToolFailed, match=complaint):
        asyncio.run(run_tool(argv, limit_s=0.2))
    assert time.monotonic() - began < 2


def test_much_is_given_and_said() -> None:
    text = "priority=1\n" * 100_000
    assert asyncio.run(run_tool(["cat"], text=text)) == text
