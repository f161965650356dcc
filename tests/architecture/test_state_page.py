"""The picture of a VM's life shows the table as it is; `make rewrite` draws it anew."""

from pathlib import Path

from holdfast.faces.pages.state_page import state_page

PAGE = Path(__file__).parents[2] / "docs/vm_states.md"


def test_the_picture_is_drawn_from_the_table(rewrite: bool) -> None:
    if rewrite:
        PAGE.write_text(state_page())
    assert PAGE.read_text() == state_page()
