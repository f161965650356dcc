"""Whether the loss of hosts could be absorbed: in status, in a table, and when a VM is protected.

covers: H5, H9
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs, to_builtins

from holdfast.faces.api.guarantee_shapes import Guarantee
from holdfast.faces.cli.status_view import make_view
from holdfast.faces.pages.guarantee import in_a_line
from holdfast.faces.pages.status import troubles
from tests.faces import examples as known
from tests.faces.conftest import Run
from tests.faces.programs_that_answer import answering
from tests.faces.test_words_of_status import HERE, UP, row

KEPT = Guarantee(target=1, tolerable=1, acting=5, hosts=5, is_kept=True)
LOST = Guarantee(
    target=1,
    tolerable=0,
    acting=5,
    hosts=5,
    is_kept=False,
    would_leave=("without h2 db-1 would stay down: no room",),
)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (KEPT, "the loss of any one of 5 hosts could be absorbed"),
        (
            structs.replace(KEPT, acting=3),
            "the loss of any one of the 3 hosts on which Holdfast acts could be absorbed",
        ),
        (
            structs.replace(KEPT, acting=1),
            "the loss of the one host on which Holdfast acts (of 5) could be absorbed",
        ),
        (
            structs.replace(KEPT, target=2, is_kept=False),
            (
                "the loss of any one of 5 hosts could be absorbed, and 2 at once should be:"
                " holdfast guarantee --hosts 2"
            ),
        ),
        (LOST, "without h2 db-1 would stay down: no room"),
        (
            structs.replace(LOST, more=7),
            "without h2 db-1 would stay down: no room; and 7 more hosts",
        ),
        (
            structs.replace(KEPT, hindered=("h4 could not be switched off now: it is shut",)),
            (
                "the loss of any one of 4 of the 5 hosts on which Holdfast acts could be absorbed;"
                " but h4 could not be switched off now: it is shut"
            ),
        ),
        (
            structs.replace(KEPT, acting=2, hindered=("h4 was fenced a moment ago",)),
            (
                "the loss of one of the 2 hosts on which Holdfast acts could be absorbed;"
                " but h4 was fenced a moment ago"
            ),
        ),
        (
            structs.replace(KEPT, hindered=("anna disarmed recovery: a storm",) * 5),
            "nothing would start elsewhere now: anna disarmed recovery: a storm",
        ),
        (
            structs.replace(KEPT, acting=0, tolerable=1),
            "nobody starts VMs elsewhere: Holdfast acts on no host",
        ),
    ],
)
def test_it_is_said_in_one_line(one: Guarantee, said: str) -> None:
    assert in_a_line(one) == said


def parts_of(one: Guarantee) -> dict[str, Any]:
    told = {**UP, "hosts": [row("h1"), row("h2")], "fencing": {"acting": one.acting}}
    view = make_view({**told, "guarantee": to_builtins(one)}, HERE)
    return {part.name: part for part in view.parts} | {"troubles": troubles(view)}


def test_status_says_it_and_what_is_lost_is_a_trouble() -> None:
    found = parts_of(KEPT)
    assert found["losses"].is_well
    assert found["troubles"] == []
    found = parts_of(LOST)
    assert found["troubles"] == ["losses without h2 db-1 would stay down: no room"]
    assert "holdfast guarantee" in found["losses"].hint
    assert "losses" not in parts_of(structs.replace(KEPT, acting=0))
    older = {**UP, "hosts": [row("h1"), row("h2")], "fencing": {"acting": 1}}
    assert troubles(make_view(older, HERE)) == [], "the version before says nothing of it"


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (known.KEPT, 0),
        (known.LOST, 1),
        (structs.replace(known.KEPT, hindered=("h1 could not be switched off now",)), 1),
    ],
)
def test_the_exit_code_tells_scripts(run: Run, run_dir: Path, told: Any, code: int) -> None:
    with answering(run_dir, "controller", {"guarantee": to_builtins(told)}) as fake:
        plain, as_json = run("guarantee", "--hosts", "2"), run("guarantee", "--json")
    assert (plain.code, as_json.code) == (code, code)
    assert [one.args for one in fake.asked] == [{"hosts": 2}, {}]
    assert json.loads(as_json.out) == json.loads(msgspec.json.encode(told))


@pytest.mark.slow
def test_who_protects_a_vm_hears_at_once_whether_it_starts_elsewhere(
    run: Run, run_dir: Path
) -> None:
    vms = to_builtins([known.WEB_1])

    def said(**data: Any) -> str:
        with answering(run_dir, "controller", {"vms": vms, "protect": data}):
            return run("vm", "protect", "web-1").out

    assert said(starts_elsewhere=True).endswith("and it would start elsewhere if its host died\n")
    told = said(
        starts_elsewhere=False,
        elsewhere="h1 is in report mode",
        elsewhere_helps="holdfast host mode h1 act",
        would_break="db-1 would start nowhere if h2 were lost: no room",
    )
    assert told.splitlines()[-4:] == [
        "but it would not start elsewhere: h1 is in report mode",
        "  what helps: holdfast host mode h1 act",
        "and now db-1 would start nowhere if h2 were lost: no room",
        "  what helps: make room, or see all that would stay down: holdfast guarantee",
    ]
    assert "elsewhere" not in said(), "of a site with one host nothing is said"
