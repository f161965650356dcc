"""The pictures of the lives of a VM and a host show their tables; `make rewrite` draws them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.faces.pages.state_page import host_state_page, state_page

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("name", "draw"), [("vm_states.md", state_page), ("host_states.md", host_state_page)]
)
def test_the_picture_is_drawn_from_the_table(
    name: str, draw: Callable[[], str], rewrite: bool
) -> None:
    page = DOCS / name
    if rewrite:
        page.write_text(draw())
    assert page.read_text() == draw()
