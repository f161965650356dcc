"""Explain and last words read as their text files say; every fact of the journal has a sentence."""

import io
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct
from rich.text import Text

from holdfast.adapters.simulated.journal import JournalInMemory
from holdfast.faces.cli.showing import show
from holdfast.faces.pages.explain import explain_page
from holdfast.faces.pages.last_words import last_words_page, printable, sized
from holdfast.faces.pages.sentences import Fact, known_facts, sentence
from holdfast.facts import commands as told
from holdfast.facts import outcomes as came
from holdfast.facts import verdicts as judged
from holdfast.facts.incidents import Incident
from holdfast.facts.instants import NS_PER_MS, NS_PER_S, Instant
from holdfast.facts.last_words import Bundle, Noted, Sample
from holdfast.facts.promises import Answer, AnswerKind, Group, Owner, Protection
from holdfast.facts.subjects import Incarnation, vm_subject
from holdfast.facts.tenure import LocalProof, Tenure, TenureState, Wanted
from holdfast.policy.decide import Decider, Input
from holdfast.ports.journal import Gap

GOLDEN = Path(__file__).with_name("stories")
UTC_MS = 1_790_000_000_000
UUID = "6f1c1d3e-0000-4000-8000-000000000001"
FIRST = Incarnation(vm=UUID, boot="b1", pid=4_242, started_ticks=100)
SECOND = Incarnation(vm=UUID, boot="b1", pid=5_151, started_ticks=900)


def at(ms: float) -> Instant:
    return Instant(int(1_000 * NS_PER_S + ms * NS_PER_MS))


def proof(boot: str) -> LocalProof:
    shown = {
        "vm": UUID,
        "boot": boot,
        "incarnation": FIRST.key,
        "shown": ["no process has its uuid", "its cgroup is empty", "its disks are free"],
        "at": at(9),
    }
    return msgspec.convert(shown, LocalProof)


class Site:
    """Policy and journal as the agent has them, and what the agent tells of an incident."""

    def __init__(self, owner: Owner = Owner.HOLDFAST) -> None:
        self.decider = Decider()
        self.journal = JournalInMemory(1, lambda: b"{}")
        tenure = Tenure(
            vm=UUID,
            generation=1,
            host="h1",
            boot="b1",
            state=TenureState.HELD,
            wanted=Wanted.RUNNING,
        )
        kept = Protection(
            vm=UUID, name="web-1", group="web", answer=Answer(kind=AnswerKind.AGENT), tenure=tenure
        )
        group = Group(name="web", owner=owner, level=1, restarts=1)
        self.give(
            told.Booted(at=at(-9e5), host="h1", host_name="kvm-7", boot="b1", state_id="s"),
            told.GroupSet(at=at(-9e5), group=group),
            judged.VmRan(life=FIRST, name="web-1", at=at(-8e5), found=True),
            told.ProtectionGranted(at=at(-7e5), protection=kept, by="anna"),
        )
        self.journal = JournalInMemory(1, lambda: b"{}")

    def give(self, *inputs: Input) -> None:
        for fact in inputs:
            self.journal.append("input", self.decider.world.now, fact)
            for action in self.decider.step(fact):
                self.journal.append("action", self.decider.world.now, action)

    def incident(self) -> Incident:
        [incident] = self.decider.world.incidents.values()
        return msgspec.structs.replace(incident, fault_utc_ms=UTC_MS)

    def page(self) -> Iterator[Any]:
        records = [
            msgspec.json.decode(msgspec.json.encode(record))
            for record in self.journal.records()
            if record.kind != "snapshot"
        ]
        data = {"incident": msgspec.to_builtins(self.incident()), "records": records}
        return explain_page(data)


KILLED = judged.FaultRaised(
    detector="vm_gone",
    condition="vm-gone",
    subject=vm_subject(UUID, "web-1"),
    effect=judged.Effect.GONE,
    certainty=judged.Certainty.CERTAIN,
    fault_at=at(0),
    detected_at=at(0.3),
    reason="QEMU of web-1 was killed by SIGKILL",
    life=FIRST,
    cause="killed by SIGKILL",
)


def killed_and_back() -> Site:
    site = Site()
    site.give(KILLED, judged.VmProcessEnded(life=FIRST, at=at(7)))
    incident = site.incident().id
    still = "libvirt still says running"
    site.give(
        came.GoneNotProven(incident=incident, at=at(9), reason=still),
        told.Woke(at=at(30)),
        came.GoneNotProven(incident=incident, at=at(33), reason=still),
        told.Woke(at=at(55)),
        came.LastWordsCaptured(
            incident=incident,
            at=at(60),
            bundle=incident,
            cause="killed by SIGKILL",
            missing=("screenshot: QEMU is gone",),
        ),
        came.GoneProven(incident=incident, at=at(205), proof=proof("b1")),
        came.VmStarted(incident=incident, at=at(480), life=SECOND),
        judged.VmRan(life=SECOND, name="web-1", at=at(481)),
        came.VmAnswered(
            incident=incident,
            at=at(2_310),
            life=SECOND,
            how="its guest agent answered",
            verified=True,
        ),
    )
    return site


def given_up() -> Site:
    site = killed_and_back()
    site.decider.world.incidents.clear()
    site.journal = JournalInMemory(1, lambda: b"{}")
    again = {"life": SECOND, "fault_at": at(60_000), "detected_at": at(60_000.4)}
    site.give(msgspec.structs.replace(KILLED, **again))
    return site


def left_to_its_owner() -> Site:
    site = Site(Owner.EXTERNAL)
    site.give(KILLED)
    site.journal.append("note", at(1), Gap(lost=3, reason="No space left on device"))
    site.journal.append("input", at(2), b'{"is":"FromTheFuture","at":7}')
    return site


def bundle() -> Bundle:
    samples = tuple(
        Sample(
            at=at(-1_000 * n),
            utc_ms=UTC_MS - 1_000 * n,
            cpu_ms=900 * (30 - n),
            rss_kib=262_144 + 64 * (30 - n),
            read_bytes=4_096 * (30 - n),
            written_bytes=1_500_000 * (30 - n),
            net_in_bytes=120 * (30 - n),
            net_out_bytes=0,
            state="R" if n % 2 else "S",
        )
        for n in range(30, 0, -1)
    )
    console = "login: \x1b[31mred\x1b[0m\r\n\x1b]0;evil title\x07Kernel panic - not syncing\x00\n"
    return Bundle(
        incident="web-1-3f2a",
        vm=UUID,
        name="web-1",
        host="kvm-7",
        boot="b1",
        title="QEMU of web-1 was killed by SIGKILL",
        cause="out of memory: the kernel killed it, its memory cgroup was full",
        captured_utc_ms=UTC_MS + 40,
        took_ms=38.2,
        fault_utc_ms=UTC_MS,
        files={"console.txt": 5_120, "recorder.jsonl": 40_960},
        missing={"screenshot": "QEMU is gone", "QEMU's log": "it is not known where it is"},
        samples=samples,
        notes=(
            Noted(at=at(-5_000), utc_ms=UTC_MS - 5_000, kind="qmp", text="RTC_CHANGE"),
            Noted(at=at(0), utc_ms=UTC_MS, kind="console", text=console),
        ),
    )


def bare_bundle() -> Bundle:
    nothing = {"cause": "", "host": "", "samples": (), "notes": (), "files": {}}
    return msgspec.structs.replace(bundle(), missing={"console": "it has none"}, **nothing)


def last_words(kept: Bundle) -> Iterator[Any]:
    return last_words_page({"bundle": msgspec.to_builtins(kept), "folder": "/var/lib/x/web-1-3f2a"})


PAGES: dict[str, Callable[[], Iterator[Any]]] = {
    "a_killed_vm_is_back": lambda: killed_and_back().page(),
    "a_crash_loop_is_given_up": lambda: given_up().page(),
    "a_vm_is_left_to_its_owner": lambda: left_to_its_owner().page(),
    "last_words": lambda: last_words(bundle()),
    "last_words_of_which_little_is_left": lambda: last_words(bare_bundle()),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_reads_as_it_should(name: str, rewrite: bool) -> None:
    out = io.StringIO()
    show(PAGES[name](), out)
    said = "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())
    path = GOLDEN / f"{name}.txt"
    if rewrite:
        path.write_text(said)
    assert said == path.read_text()
    assert "\x1b" not in said


def test_no_text_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(PAGES)


@pytest.mark.parametrize(
    ("make", "last"),
    [
        (killed_and_back, "Nothing to do."),
        (given_up, "Needs you: holdfast vm recover web-1"),
        (left_to_its_owner, "Nothing to do."),
    ],
)
def test_a_story_ends_with_what_is_left_to_do(make: Callable[[], Site], last: str) -> None:
    *_, end = make().page()
    assert isinstance(end, Text)
    assert end.plain == last


def fact_types() -> list[type[Struct]]:
    return list(typing.get_args(Fact))


def test_every_fact_has_a_sentence() -> None:
    assert known_facts() == set(fact_types())
    assert len(fact_types()) > 30


def sample_of(kind: type[Struct]) -> Struct:
    """The smallest fact of its type: every required field filled in."""
    made: dict[str, Any] = {"is": kind.__name__}
    made |= {f.name: _value(f.type) for f in msgspec.structs.fields(kind) if f.required}
    return msgspec.convert(made, kind)


def _value(wanted: Any) -> Any:
    wanted = getattr(wanted, "__supertype__", wanted)
    if isinstance(wanted, type) and issubclass(wanted, Struct):
        return msgspec.to_builtins(sample_of(wanted))
    if typing.get_origin(wanted) is tuple:
        kinds = typing.get_args(wanted)
        return [] if ... in kinds else [_value(kind) for kind in kinds]
    if typing.get_origin(wanted) is dict:
        return {}
    if isinstance(wanted, type) and hasattr(wanted, "__members__"):
        return next(iter(wanted.__members__.values())).value
    simple: dict[Any, Any] = {str: "WORD", int: 7, float: 7.5, bool: True}
    return simple[wanted]


@pytest.mark.parametrize("kind", fact_types(), ids=lambda kind: kind.__name__)
def test_a_sentence_reads_as_one(kind: type[Struct]) -> None:
    said = sentence(sample_of(kind), "web-1")
    assert said[0].isupper() or said.startswith(("web-1", "libvirt")), said
    assert said.endswith("."), said
    assert not said.endswith(".."), said
    assert kind.__name__ not in said.split(), "a person reads words, not names of classes"
    assert "nobody has words" not in said
    assert "Struct" not in said
    assert "None" not in said


def test_a_fact_without_words_is_shown() -> None:
    class News(Struct):
        pass

    assert sentence(News(), "web-1") == "(nobody has words for News)"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("a\x1b]8;;http://x\x1b\\link", "alink"),
        ("a\rb\x07\x00\x9b", "ab"),
        ("a\tb\r\nÄ", "a    b\nÄ"),
    ],
)
def test_a_console_cannot_steer_the_terminal(raw: str, shown: str) -> None:
    assert printable(raw) == shown


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "0 B"),
        (1_023, "1023 B"),
        (1_536, "1.5 KiB"),
        (5 << 30, "5 GiB"),
        (2_048 << 30, "2048 GiB"),
    ],
)
def test_sizes_are_said(size: int, said: str) -> None:
    assert sized(size) == said
