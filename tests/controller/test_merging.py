"""Journals merge by cause: also where a clock is wrong, and whatever order they are given in."""

import asyncio
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins

from holdfast.controller.merging import merge
from holdfast.controller.stories import with_others
from tests.faces import examples as known

HOUR_MS = 3_600_000


def record(n: int, utc_ms: int, kind: str = "input", **body: Any) -> dict[str, Any]:
    return {"n": n, "at": n, "utc_ms": utc_ms, "kind": kind, "body": body}


def report(n: int, utc_ms: int, key: str = "h1:host-lost", revision: int = 1) -> dict[str, Any]:
    return record(n, utc_ms, "action", **{"is": "Report"}, alarm={"key": key, "revision": revision})


def shared(n: int, utc_ms: int, key: str = "h1:host-lost", revision: int = 1) -> dict[str, Any]:
    return record(n, utc_ms, **{"is": "AlarmShared"}, alarm={"key": key, "revision": revision})


def names(merged: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(one["from"], one["n"]) for one in merged]


def test_what_was_taken_over_comes_after_its_report_though_a_clock_is_an_hour_behind() -> None:
    journals = {
        "beta": [shared(1, 1_000 - HOUR_MS), record(2, 1_100 - HOUR_MS)],
        "alpha": [record(1, 900), report(2, 910)],
    }
    assert names(merge(journals)) == [("alpha", 1), ("alpha", 2), ("beta", 1), ("beta", 2)]


def test_without_a_cause_the_wall_clock_decides_and_turns_stay_whole() -> None:
    journals = {
        "alpha": [record(1, 100), record(2, 101, "action"), record(3, 300)],
        "beta": [record(1, 100), record(2, 400, "action"), record(3, 200)],
    }
    order = names(merge(journals))
    assert order == [
        ("alpha", 1),
        ("alpha", 2),
        ("beta", 1),
        ("beta", 2),
        ("beta", 3),
        ("alpha", 3),
    ]


def test_two_that_reported_the_same_at_once_make_no_circle() -> None:
    journals = {
        "alpha": [record(1, 100), report(2, 100), shared(3, 120)],
        "beta": [record(1, 101), report(2, 101), shared(3, 121)],
    }
    assert len(merge(journals)) == 6


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["report", "shared", "other", "wake"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(1, 3),
        st.integers(0, 50),
    ),
    max_size=12,
)


@given(st.dictionaries(st.sampled_from(["alpha", "beta", "gamma"]), EVENTS), st.randoms())
def test_each_journal_keeps_its_order_and_nothing_is_lost(
    drawn: dict[str, list[tuple[str, str, int, int]]], lots: random.Random
) -> None:
    makers: dict[str, Any] = {"report": report, "shared": shared}
    journals = {
        name: [
            makers[what](n, at, key, revision)
            if what in makers
            else record(n, at, "action" if what == "wake" else "input")
            for n, (what, key, revision, at) in enumerate(events)
        ]
        for name, events in drawn.items()
    }
    merged = names(merge(journals))
    for name, records in journals.items():
        assert [n for source, n in merged if source == name] == [one["n"] for one in records]
    mixed = list(journals.items())
    lots.shuffle(mixed)
    assert sorted(names(merge(dict(mixed)))) == sorted(merged)


def test_others_are_put_on_the_owners_clock_and_who_is_away_is_named() -> None:
    incident = known.CLOSED
    fault = incident.fault_utc_ms

    async def journals(about: str) -> dict[str, list[dict[str, Any]]]:
        assert about == incident.vm
        return {
            "alpha": [record(1, fault + 50), record(2, fault + 3_600_000)],
            "beta": [{"error": "controller beta does not answer: gone"}],
        }

    story = {"incident": to_builtins(incident), "records": [record(7, fault)]}
    told = asyncio.run(with_others(story, "agent of h1", journals))
    assert names(told["records"]) == [("agent of h1", 7), ("alpha", 1)]
    assert told["records"][1]["at"] == incident.fault_at + 50 * 1_000_000
    assert told["missing"] == ["controller beta does not answer: gone"]
