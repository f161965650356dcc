"""The page of the API says what its table of routes says; `make rewrite` writes it anew."""

from pathlib import Path

from holdfast.faces.api.routes import ROUTES
from holdfast.faces.pages.api_page import api_page

PAGE = Path(__file__).parents[2] / "docs/api.md"


def test_the_page_is_made_from_the_table(rewrite: bool) -> None:
    made = api_page(PAGE.read_text())
    if rewrite:
        PAGE.write_text(made)
    assert PAGE.read_text() == made


def test_every_route_is_on_it() -> None:
    text = PAGE.read_text()
    assert all(
        f"`{route.method} {route.path}` | {route.role or 'anybody'}" in text for route in ROUTES
    )
