"""The record of who may run a VM never falls back, whatever comes in whatever order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from holdfast.facts.tenure import Tenure, TenureState, Wanted
from holdfast.policy import tenures

BOOTS = st.sampled_from(["boot-1", "boot-2", "boot-3"])
TENURES = st.builds(
    Tenure,
    vm=st.just("vm-1"),
    generation=st.integers(1, 4),
    host=st.sampled_from(["host-a", "host-b"]),
    boot=BOOTS | st.just(""),
    state=st.sampled_from(TenureState),
    wanted=st.sampled_from(Wanted),
    revision=st.integers(0, 6),
)
HELD = Tenure(
    vm="vm-1",
    generation=2,
    host="host-a",
    boot="boot-1",
    state=TenureState.HELD,
    wanted=Wanted.STOPPED,
    revision=5,
)
EVENTS = st.one_of(
    st.tuples(st.just("tell"), TENURES),
    st.tuples(st.just("greet"), BOOTS, st.none() | TENURES),
    st.tuples(st.just("forget")),
    st.tuples(st.just("outrank"), TENURES),
    st.tuples(st.just("grant"), st.sampled_from(["host-a", "host-b"]), BOOTS, st.integers(0, 5)),
)


def after(held: Tenure, event: tuple) -> Tenure:  # type: ignore[type-arg]
    match event:
        case ("tell", news):
            return tenures.told(held, news)
        case ("greet", boot, copy):
            return tenures.greeted(held, boot, copy)
        case ("outrank", copy):
            return tenures.outranked(held, copy)
        case ("forget",):
            return tenures.forgotten(held)
        case ("grant", host, boot, known):
            return tenures.granted(held, vm="vm-1", host=host, boot=boot, known=known)
        case _:
            raise AssertionError(event)


@settings(max_examples=300, deadline=None)
@given(TENURES, st.lists(EVENTS, max_size=8))
def test_no_order_of_events_lowers_generation_or_revision(
    held: Tenure,
    events: list[tuple],  # type: ignore[type-arg]
) -> None:
    for event in events:
        now = after(held, event)
        assert now.generation >= held.generation, event
        assert now.revision >= held.revision, event
        if now.host != held.host:
            assert event[0] == "grant"
            assert now.generation > held.generation
        held = now


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(TENURES, st.lists(EVENTS.filter(lambda e: e[0] != "grant"), max_size=8))
def test_who_forgot_is_granted_nothing_without_a_person(
    held: Tenure,
    events: list[tuple],  # type: ignore[type-arg]
) -> None:
    held = tenures.forgotten(held)
    for event in events:
        held = after(held, event)
        assert held.boot == ""


@settings(max_examples=300, deadline=None)
@given(TENURES, BOOTS, TENURES)
def test_a_known_stop_is_not_undone_by_a_copy_that_is_not_newer(
    held: Tenure, boot: str, copy: Tenure
) -> None:
    held = structs.replace(held, wanted=Wanted.STOPPED)
    if (copy.generation, copy.revision) <= (held.generation, held.revision):
        assert tenures.greeted(held, boot, copy).wanted is Wanted.STOPPED
    if (copy.generation, copy.revision) < (held.generation, held.revision):
        assert tenures.told(held, copy).wanted is Wanted.STOPPED


def test_a_newer_copy_of_the_host_is_taken_and_a_new_boot_raises_the_revision() -> None:
    copy = structs.replace(HELD, wanted=Wanted.RUNNING, revision=7)
    assert tenures.greeted(HELD, "boot-1", copy) == copy
    booted = tenures.greeted(HELD, "boot-2", copy)
    assert booted == structs.replace(copy, boot="boot-2", revision=8)


def test_a_store_older_than_the_copy_of_the_host_grants_nothing() -> None:
    copy = structs.replace(HELD, generation=3, revision=0)
    assert tenures.greeted(HELD, "boot-2", copy).boot == ""


def test_tells_that_were_swapped_end_as_the_last_one_says() -> None:
    first = structs.replace(HELD, wanted=Wanted.RUNNING, revision=6)
    last = structs.replace(HELD, wanted=Wanted.STOPPED, revision=7)
    assert tenures.told(tenures.told(HELD, last), first) == last


def test_a_grant_is_above_all_that_is_known_of_the_vm() -> None:
    grant = tenures.granted(None, vm="vm-1", host="host-a", boot="boot-1", known=0)
    assert grant.generation == 1
    grant = tenures.granted(None, vm="vm-1", host="host-a", boot="boot-1", known=4)
    assert grant.generation == 5
    grant = tenures.granted(HELD, vm="vm-1", host="host-a", boot="boot-1", known=4)
    assert (grant.generation, grant.wanted) == (5, Wanted.STOPPED)
    assert tenures.granted(HELD, vm="vm-1", host="host-a", boot="boot-1", known=2) == HELD
