"""Writes docs/COMPLAINTS.md: what people complain of in such systems, and the stories about it.

    python -m tests.stories.complaints        (make requirements)

Stories say `# complaints: C2 C7` below what they cover.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from tests.stories.requirements import PROJECT, STORIES

PAGE = PROJECT / "docs/COMPLAINTS.md"
SAYS = re.compile(r"^# complaints: (C\d+(?: C\d+)*)$", re.MULTILINE)


class Complaint(Struct, frozen=True, kw_only=True):
    """`here` is what Holdfast does about it, in a sentence or two."""

    id: str
    text: str
    here: str


COMPLAINTS = (
    Complaint(
        id="C1",
        text="It costs more service than it saves: a switch restarts, and every host is fenced.",
        here="Nobody is fenced while more than a share of the hosts is silent, while hosts that "
        "share a rack or a switch fell silent together, while the controller itself is in trouble, "
        "or where nothing would be won. Every host begins in report mode.",
    ),
    Complaint(
        id="C2",
        text="A fence never ends: the BMC died with its host, or calls it an error that the host "
        "is off already.",
        here="The power is read back, whatever the order came to. Devices are a ladder, tried "
        "again and again; a person may give the proof, and is told how.",
    ),
    Complaint(
        id="C3",
        text="A recovery is called done, and the VM is down.",
        here="It is over when the guest answers, and not before. Until then an alarm is open that "
        "says how far it is, or why it does not go on.",
    ),
    Complaint(
        id="C4",
        text="A VM runs twice, and its disk is ruined.",
        here="Nothing starts elsewhere without a proof that its host can do no more harm; a host "
        "that comes back holds nothing of its former VMs; a copy is ended, or told of.",
    ),
    Complaint(
        id="C5",
        text="A monitor that times out is taken for a death, and what was well is restarted.",
        here="Not to know is a state of its own. Deaths are seen in the kernel; a libvirt that "
        "hangs costs a question, and no VM.",
    ),
    Complaint(
        id="C6",
        text="It is too slow: minutes go by before anything starts.",
        here="A death is reported within a second, a host is fenced three seconds after it fell "
        "silent, and its VMs start, some at once on each host, as soon as that is proven.",
    ),
    Complaint(
        id="C7",
        text="A host is assumed to have been restarted, and nobody looked.",
        here="What was ordered proves nothing: only a power that was read back off does, or a "
        "person who says so by name. A proof that looks wrong is doubted.",
    ),
    Complaint(
        id="C8",
        text="What is half dead is not seen: it says that it is well, and can start nothing.",
        here="Agent, pulse and libvirt of each host are told apart, and an alarm names the one "
        "that is lost. A VM is not left with a host that could not start it.",
    ),
    Complaint(
        id="C9",
        text="Somebody sets a clock, and hosts count as dead.",
        here="Every limit is measured on a monotonic clock, and clocks of two machines are never "
        "compared.",
    ),
    Complaint(
        id="C10",
        text="Repairs do harm to what was well, or go round in circles.",
        here="What is done about a host touches no other; tries are counted, with pauses between "
        "them, and end with a person who is told what is missing.",
    ),
    Complaint(
        id="C11",
        text="Nobody can say what happened, and why.",
        here="Each incident says what is known, what is done about it now or why nothing is, and "
        "what a person should do; each end says what was proven.",
    ),
    Complaint(
        id="C12",
        text="The evidence of a crash is lost, or the guest is ended while it still writes it.",
        here="Last words are taken before anything is ended; a guest or a kernel that writes its "
        "dump is waited for, within a limit.",
    ),
    Complaint(
        id="C13",
        text="What people want to choose cannot be chosen: maintenance, who is recovered and "
        "first, two hosts, a shutdown that stays one.",
        here="Each VM, group and host has its own choice, and a wanted stop is never undone.",
    ),
)

HEAD = """# What people complain of in other systems

Written by `make requirements` from what stories say; do not edit. Users of other systems for high
availability have told, in public, what went wrong. For each kind of complaint: what Holdfast does,
and the stories that show it. A story is played by `make test`, and says what a person is told.
"""


def render() -> str:
    return "\n".join([HEAD, *(_chapter(one) for one in COMPLAINTS)])


def _chapter(one: Complaint) -> str:
    lines = [f"## {one.id}", "", f"*{one.text}*", "", one.here, ""]
    lines += [
        f"- [{path.stem.replace('_', ' ')}](../{path.relative_to(PROJECT)})"
        for path in stories_of(one.id)
    ]
    return "\n".join(lines) + "\n"


def stories_of(complaint: str) -> Iterator[Path]:
    for path in sorted(STORIES.rglob("*.txt")):
        if complaint in said_by(path.read_text()):
            yield path


def said_by(story: str) -> set[str]:
    return {name for found in SAYS.findall(story) for name in found.split()}


if __name__ == "__main__":
    PAGE.write_text(render())
