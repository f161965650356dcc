"""One leads at a time: it stops acting before its lease ends, and the next one begins at once."""

import asyncio

from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.controller.leadership import KEEP_MS, LEASE_MS, MARGIN_MS, Leadership
from holdfast.ports.store import StoreAway
from tests.controller.fake_agent import wait_for


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def pass_ms(self, ms: float) -> None:
        self.now_s += ms / 1_000


def leaders(store: StoreInMemory, clock: Clock) -> tuple[Leadership, Leadership, list[int]]:
    began: list[int] = []

    async def begin(term: int) -> None:
        began.append(term)

    one, two = (Leadership(store, name, begin, clock) for name in ("one", "two"))
    return one, two, began


def term_of(leadership: Leadership) -> int | None:
    return leadership.term


def test_the_first_leads_and_the_other_knows_who() -> None:
    async def work() -> None:
        clock = Clock()
        one, two, began = leaders(StoreInMemory(clock), clock)
        await one.step()
        await two.step()
        assert (one.term, two.term) == (began[0], None)
        assert (one.leader, two.leader) == ("one", "one")
        assert two.reason == "controller one leads"

    asyncio.run(work())


def test_a_leader_that_cannot_renew_stops_before_another_may_begin() -> None:
    async def work() -> None:
        clock = Clock()
        store = StoreInMemory(clock)
        one, two, began = leaders(store, clock)
        await one.step()
        store.go_away()
        last_led_ms = passed_ms = 0
        while term_of(one) is not None:
            last_led_ms = passed_ms
            await one.step()
            clock.pass_ms(10)
            passed_ms += 10
        assert last_led_ms < LEASE_MS - MARGIN_MS
        assert one.leader == ""
        store.come_back()
        await two.step()
        assert term_of(two) is None, "the lease still holds"
        clock.pass_ms(LEASE_MS - passed_ms)
        await two.step()
        assert term_of(two) == began[-1] > began[0]
        await one.step()
        assert (term_of(one), one.leader) == (None, "two")

    asyncio.run(work())


def test_one_renewal_that_fails_changes_nothing() -> None:
    async def work() -> None:
        clock = Clock()
        store = StoreInMemory(clock)
        one, _, began = leaders(store, clock)
        await one.step()
        clock.pass_ms(KEEP_MS)
        store.go_away()
        await one.step()
        assert one.term == began[0]
        clock.pass_ms(KEEP_MS)
        store.come_back()
        await one.step()
        assert one.term == began[0]
        assert one.reason == ""

    asyncio.run(work())


class SlowStore(StoreInMemory):
    """A renewal is answered only after nearly a lease."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._its_clock = clock

    async def keep_term(self, term: int) -> bool:
        kept = await super().keep_term(term)
        self._its_clock.pass_ms(LEASE_MS - MARGIN_MS)
        return kept


def test_a_renewal_counts_from_when_it_was_sent() -> None:
    async def work() -> None:
        clock = Clock()
        one, _, began = leaders(SlowStore(clock), clock)
        await one.step()
        assert term_of(one) == began[0]
        await one.step()
        assert term_of(one) is None, "the answer came too late to be acted on"

    asyncio.run(work())


def test_a_term_whose_begin_fails_is_not_led() -> None:
    async def work() -> None:
        clock = Clock()
        failing = True

        async def begin(_term: int) -> None:
            if failing:
                raise StoreAway("it went away")

        one = Leadership(StoreInMemory(clock), "one", begin, clock)
        await one.step()
        assert term_of(one) is None
        failing = False
        await one.step()
        assert term_of(one) is not None

    asyncio.run(work())


def test_the_next_one_begins_as_soon_as_the_term_is_given_back() -> None:
    async def work() -> None:
        store = StoreInMemory()
        one, two, _ = leaders(store, Clock())
        for leadership in (one, two):
            leadership._clock = asyncio.get_running_loop().time
        await one.step()
        running = asyncio.create_task(two.run())
        await wait_for(lambda: two.leader == "one")
        began = asyncio.get_running_loop().time()
        await one.end()
        await wait_for(lambda: two.term is not None)
        assert asyncio.get_running_loop().time() - began < 2
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(work())
