"""Only adapters make a proof: whoever restarts a VM can show one, and cannot write it himself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import PROJECT, Complaint, Source, complaints, dotted, write_tree

PROOFS = {"DeathProof", "LocalProof"}


def makes_no_proof(source: Source) -> Iterator[Complaint]:
    """A proof's class is called, handed to what makes one of it, or goes by another name."""
    if not source.name.startswith("src/") or source.is_in("adapters"):
        return
    for call in source.calls:
        made = [call.func, *call.args, *(keyword.value for keyword in call.keywords)]
        for proof in PROOFS & {part for node in made for part in dotted(node).split(".")}:
            if not is_question(dotted(call.func)):
                yield call.lineno, f"only adapters make a {proof}"
    for statement in source.imports:
        for alias in statement.names:
            if alias.name in PROOFS and alias.asname:
                yield statement.lineno, f"{alias.name} keeps its name"


def is_question(function: str) -> bool:
    return function in {"isinstance", "issubclass"}


def test_only_adapters_make_proofs() -> None:
    assert complaints(PROJECT, makes_no_proof) == []


@pytest.mark.parametrize(
    "line",
    [
        "DeathProof(kind=POWER, host='a', boot='b')",
        "tenure.DeathProof(kind=POWER)",
        "LocalProof(vm='a')",
        "msgspec.convert({}, DeathProof)",
        "msgspec.json.decode(b'', type=tenure.LocalProof)",
        "from holdfast.facts.tenure import DeathProof as Proof",
    ],
)
@pytest.mark.parametrize("room", ["policy", "agent", "controller", "faces", "lab", "facts"])
def test_a_home_made_proof_is_named(tmp_path: Path, room: str, line: str) -> None:
    write_tree(tmp_path, {f"src/holdfast/{room}/mutant.py": line + "\n"})
    assert complaints(tmp_path, makes_no_proof)


def test_adapters_make_proofs_and_anyone_may_ask_for_one(tmp_path: Path) -> None:
    asks = "def f(p: DeathProof):\n    return isinstance(p, DeathProof)\n"
    makes = "DeathProof(kind=POWER)\n"
    texts = {
        "src/holdfast/adapters/fencers/power.py": makes,
        "src/holdfast/policy/fencing.py": asks,
        "tests/policy/test_fencing.py": makes,
    }
    write_tree(tmp_path, texts)
    assert complaints(tmp_path, makes_no_proof) == []
