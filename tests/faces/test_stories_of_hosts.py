"""The story of a lost host: what to do comes first, then each word once, in the order of time."""

import io
from typing import Any

import pytest
from msgspec import structs, to_builtins

from holdfast.faces.cli.showing import show
from holdfast.faces.pages.explain import explain_page
from holdfast.facts.actions import AskWitnesses, TellIncident
from holdfast.facts.hearing import PlaneSilent, Sign, WitnessKind, WitnessSpoke
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.site import HostVm, VmsSet
from holdfast.policy.site_incidents import AWAITED
from tests.faces import examples as known

HOST = "id-h4"
FAULT = known.OPEN.fault_at
LOST = structs.replace(
    known.OPEN, id="h4-8dd6", name="h4", host=HOST, vm="", life=None, needs_you="", owner="nobody"
)


def at(ms: float) -> Instant:
    return Instant(FAULT + int(ms * NS_PER_MS))


def spoke(
    ms: float,
    witness: str,
    sign: Sign = Sign.NOTHING,
    kind: WitnessKind = WitnessKind.AGENT,
    plane: str = "a",
) -> dict[str, Any]:
    fact = WitnessSpoke(at=at(ms), host=HOST, kind=kind, witness=witness, plane=plane, sign=sign)
    return {"at": at(ms), "kind": "input", "body": to_builtins(fact)}


def asking(ms: float) -> dict[str, Any]:
    fact = AskWitnesses(incident=LOST.id, host=HOST, boot="b")
    return {"at": at(ms), "kind": "action", "body": to_builtins(fact)}


def told(*records: dict[str, Any]) -> list[str]:
    out = io.StringIO()
    show(explain_page({"incident": to_builtins(LOST), "records": list(records)}), out)
    return out.getvalue().splitlines()


def silent(ms: float) -> dict[str, Any]:
    fact = PlaneSilent(at=at(ms), host=HOST, boot="b", plane="a", last_heard=FAULT, missed=4)
    return {"at": at(ms), "kind": "input", "body": to_builtins(fact)}


def test_what_to_do_stands_at_the_top() -> None:
    second = told(silent(200))[1]
    assert second == "Nothing to do yet."


def test_what_a_witness_says_again_is_told_once_with_how_often() -> None:
    rounds = [
        record
        for ms in (210, 410, 610)
        for record in (asking(ms), spoke(ms + 60, "h2"), spoke(ms + 50, "h3"))
    ]
    lines = told(silent(200), *rounds, spoke(900, "h2", Sign.PULSE))
    about = [line for line in lines if "asked h4" in line]
    assert len(about) == 3
    assert "Host h3 asked h4 on plane a: nothing answers. (3 times)" in about[0]
    assert "Host h2 asked h4 on plane a: nothing answers. (3 times)" in about[1]
    assert about[2].endswith("Host h2 asked h4 on plane a: it answers.")
    assert len([line for line in lines if "Asking h4 itself" in line]) == 1


@pytest.mark.parametrize("order", [(300, 500), (500, 300)])
def test_its_lines_are_in_the_order_of_time(order: tuple[int, int]) -> None:
    lines = told(*(spoke(ms, f"h{ms}") for ms in order))
    assert [line.split()[0] for line in lines if "asked h4" in line] == ["+300", "+500"]


@pytest.mark.parametrize(
    ("sign", "said"),
    [
        (Sign.PULSE, "Controller h2 hears it."),
        (Sign.NOTHING, "Controller h2 does not hear it either."),
        (Sign.UNKNOWN, "Controller h2 did not say whether it hears it."),
    ],
)
def test_a_controller_that_did_not_answer_agrees_with_nobody(sign: Sign, said: str) -> None:
    lines = told(silent(200), spoke(260, "h2", sign, WitnessKind.CONTROLLER, ""))
    assert next(line for line in lines if "Controller h2" in line).endswith(said)


def in_story_of_a_vm(*records: dict[str, Any], **names: str) -> list[str]:
    out = io.StringIO()
    data = {"incident": to_builtins(known.OPEN), "records": list(records), "names": names}
    show(explain_page(data), out)
    return out.getvalue().splitlines()


def runs_there(ms: float, *vms: str, source: str = "") -> dict[str, Any]:
    fact = VmsSet(at=at(ms), host="id7", boot="b", vms=tuple(HostVm(vm=v, name=v) for v in vms))
    record = {"at": at(ms), "kind": "input", "body": to_builtins(fact)}
    return {**record, "from": source} if source else record


def test_the_story_of_a_vm_names_the_host_where_it_runs() -> None:
    named = in_story_of_a_vm(runs_there(20, known.DB), id7="kvm-7")
    assert named[-3].endswith("Of kvm-7 it is told that 1 VM runs there.")
    unknown = in_story_of_a_vm(runs_there(20, known.DB, known.WEB))
    assert unknown[-3].endswith("Of host id7 it is told that 2 VMs run there.")


def test_what_is_done_about_a_host_reads_as_a_clause() -> None:
    fact = TellIncident(incident=structs.replace(LOST, step=AWAITED))
    step = {"at": at(200), "kind": "action", "body": to_builtins(fact)}
    assert any(line.endswith(f"h4: {AWAITED}.") for line in told(silent(200), step))


def instants(lines: list[str]) -> list[str]:
    return [line.split()[0] for line in lines if line.lstrip().startswith("+")]


def test_what_was_done_is_not_told_later_than_what_came_next() -> None:
    lines = told(silent(200), asking(454), spoke(313, "h2"))
    assert instants(lines) == ["+200", "+313"]
    assert next(line for line in lines if "Asking h4" in line).startswith("+313 ms")


def test_the_word_of_another_clock_stands_about_when_and_keeps_its_place() -> None:
    before, other = runs_there(100, "one"), runs_there(454, "one", "two", source="h3")
    lines = in_story_of_a_vm(before, other, runs_there(313, "a", "b", "c"))
    assert instants(lines) == ["+100", "+313"]
    assert ["h3: Of" in line for line in lines if "it is told" in line] == [False, True, False]


def test_what_came_in_late_is_told_when_it_came_in() -> None:
    lines = in_story_of_a_vm(runs_there(454, "one"), runs_there(313, "one", "two"))
    assert instants(lines) == ["+454"]
