"""The uplink over a real socket: order, resending, gaps that are kept, entries nobody can read."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, unix_serve
from websockets.exceptions import ConnectionClosed

from holdfast.adapters.drivers.dials import unix_dial
from holdfast.adapters.outboxes.disk import DiskOutbox
from holdfast.agent.uplink import NEXT_AFTER_S, Uplink
from holdfast.facts import actions as act
from holdfast.facts import wire
from holdfast.facts.observations import Observation, PieceLost
from holdfast.ports.link import Dial
from tests.agent.scene import BOOT, HOST, tenure_of, wait_for


class Controller:
    """It welcomes whoever dials in and keeps what it hears; it answers entries when told to."""

    def __init__(self, path: Path, term: int = 1, *, leads: bool = True) -> None:
        self._path, self.term, self.leads = path, term, leads
        self._server: Server | None = None
        self._links: list[ServerConnection] = []
        self.entries: list[wire.Entry] = []
        self.replies: list[wire.Reply] = []
        self.answers = True
        self.greetings = 0

    async def begin(self) -> None:
        self._server = await unix_serve(self._serve, str(self._path), compression=None)

    def welcome(self) -> wire.Welcome:
        term = self.term if self.leads else 0
        return wire.Welcome(version=1, term=term, is_complete=self.leads)

    async def lead(self, term: int) -> None:
        """It comes to lead, and greets its agents once more."""
        self.term, self.leads = term, True
        for link in self._links:
            await link.send(wire.encode(self.welcome()), text=True)

    async def hang_up(self) -> None:
        for link in self._links:
            await link.close()
        self._links.clear()

    async def end(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None
            self._path.unlink(missing_ok=True)

    async def ask(self, question: wire.Question | bytes) -> None:
        raw = question if isinstance(question, bytes) else wire.encode(question)
        await self._links[-1].send(raw, text=True)

    async def _serve(self, link: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            assert isinstance(wire.decode(await link.recv()), wire.Hello)
            self.greetings += 1
            await link.send(wire.encode(self.welcome()), text=True)
            self._links.append(link)
            async for raw in link:
                await self._heard(link, wire.decode(raw))

    async def _heard(self, link: ServerConnection, frame: wire.AnyFrame) -> None:
        if isinstance(frame, wire.Hello):
            self.greetings += 1
        if isinstance(frame, wire.Reply):
            self.replies.append(frame)
        if not isinstance(frame, wire.Entry):
            return
        self.entries.append(frame)
        if self.answers:
            said = wire.EntryAnswered(
                stream=frame.stream, sequence=frame.sequence, arrived_utc_ms=1
            )
            await link.send(wire.encode(said), text=True)

    @property
    def told(self) -> list[str]:
        return [e.tenure.vm for e in self.entries if e.tenure]


class Losing(DiskOutbox):
    """An outbox that lost entries when it is told so."""

    newly_lost = 0

    def take_gap(self) -> int:
        lost, self.newly_lost = self.newly_lost, 0
        return super().take_gap() + lost


class Scene:
    def __init__(self, folder: Path, dials: list[Dial] | None = None) -> None:
        self.outbox = Losing(folder / "outbox", BOOT)
        self.controller = Controller(folder / "controller.sock")
        self.other = Controller(folder / "other.sock", leads=False)
        self.seen: list[Observation] = []
        self.uplink = Uplink(
            dials=dials or [unix_dial("controller", folder / "controller.sock")],
            outbox=self.outbox,
            boot=BOOT,
            host=HOST,
            hello=lambda: wire.Hello(
                version=1, host=HOST, host_name="h", boot=BOOT, state_id="s", stream="x"
            ),
            welcomed=lambda _: None,
            obey=self._obey,
            see=self.seen.append,
        )

    async def _obey(self, question: wire.Question) -> wire.Reply:
        return wire.Reply(id=question.id, data=question.name)

    def tell(self, *vms: str) -> None:
        for vm in vms:
            self.uplink.tell_tenure(act.TellTenure(tenure=tenure_of(vm), reason="it runs"))

    async def wait_told(self, count: int) -> list[str]:
        told = self.controller.told
        await wait_for(lambda: len(self.controller.told) >= count, f"{count} entries, had {told}")
        return self.controller.told


def play(
    folder: Path, story: Callable[[Scene], Coroutine[Any, Any, None]], *, has_two: bool = False
) -> None:
    async def whole() -> None:
        names = ("other", "controller")
        dials = [unix_dial(name, folder / f"{name}.sock") for name in names] if has_two else None
        scene = Scene(folder, dials)
        running = asyncio.create_task(scene.uplink.run())
        try:
            async with asyncio.timeout(60):
                await story(scene)
        finally:
            running.cancel()
            await asyncio.wait([running])
            await scene.controller.end()
            await scene.other.end()
            scene.outbox.close()

    asyncio.run(whole())


def test_what_was_kept_while_the_controller_was_away_comes_first_and_in_order(
    tmp_path: Path,
) -> None:
    async def story(scene: Scene) -> None:
        scene.tell("a", "b", "c")
        await scene.controller.begin()
        await wait_for(lambda: scene.uplink.is_up, "the link")
        scene.tell("d")
        assert await scene.wait_told(4) == ["a", "b", "c", "d"]
        await wait_for(lambda: scene.outbox.waiting == 0, "all are answered")

    play(tmp_path, story)


def test_what_was_not_answered_is_sent_again(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await scene.controller.begin()
        scene.controller.answers = False
        scene.tell("a", "b")
        await scene.wait_told(2)
        scene.controller.answers = True
        await scene.controller.hang_up()
        assert await scene.wait_told(4) == ["a", "b", "a", "b"]
        first, again = scene.controller.entries[0], scene.controller.entries[2]
        assert (first.stream, first.sequence) == (again.stream, again.sequence)
        await wait_for(lambda: scene.outbox.waiting == 0, "all are answered")

    play(tmp_path, story)


def test_a_gap_is_said_again_until_it_was_heard(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await scene.controller.begin()
        scene.controller.answers = False
        scene.outbox.newly_lost = 3
        scene.tell("a", "b")
        await scene.wait_told(2)
        assert [e.gap for e in scene.controller.entries] == [3, 0]
        scene.controller.answers = True
        await scene.controller.hang_up()
        await scene.wait_told(4)
        assert [e.gap for e in scene.controller.entries[2:]] == [3, 0], "it may not have arrived"
        await wait_for(lambda: scene.outbox.waiting == 0, "all are answered")
        await scene.controller.hang_up()
        await wait_for(lambda: not scene.uplink.is_up, "the link ends")
        scene.tell("c")
        await scene.wait_told(5)
        assert scene.controller.entries[4].gap == 0, "what was heard is not said again"

    play(tmp_path, story)


def test_an_entry_that_cannot_be_read_does_not_block_the_others(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.tell("a")
        scene.outbox.append(b'{"boot": 7}')
        scene.outbox.append(b"\xff not json")
        scene.tell("b")
        await scene.controller.begin()
        assert await scene.wait_told(2) == ["a", "b"]
        assert [e.gap for e in scene.controller.entries] == [0, 2]
        assert scene.uplink.unreadable == 2
        await wait_for(lambda: scene.outbox.waiting == 0, "nothing waits for ever")
        lost = [o for o in scene.seen if isinstance(o, PieceLost)]
        assert [(o.what, o.count) for o in lost] == [("outbox", 1), ("outbox", 1)]

    play(tmp_path, story)


def test_a_question_is_answered_and_a_frame_nobody_knows_is_survived(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await scene.controller.begin()
        await wait_for(lambda: scene.uplink.is_up, "the link")
        await scene.controller.ask(b'{"is": "Unheard"}')
        await scene.controller.ask(wire.Question(id=5, name="status"))
        await wait_for(lambda: scene.controller.replies, "a reply")
        assert scene.controller.replies == [wire.Reply(id=5, data="status")]

    play(tmp_path, story)


async def both_up(scene: Scene) -> None:
    await scene.controller.begin()
    await scene.other.begin()
    await wait_for(lambda: all(line.is_up for line in scene.uplink.lines), "both links")


def test_the_leader_is_told_and_the_other_only_when_it_does_not_answer(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await both_up(scene)
        assert scene.uplink.shown() == {"other": "up", "controller": "leads"}
        scene.tell("a", "b")
        await wait_for(lambda: scene.outbox.waiting == 0, "the leader answers")
        assert (scene.controller.told, scene.other.told) == (["a", "b"], [])
        scene.controller.answers = False
        scene.tell("c")
        began = asyncio.get_running_loop().time()
        await wait_for(lambda: scene.outbox.waiting == 0, "the other answers")
        assert asyncio.get_running_loop().time() - began >= NEXT_AFTER_S * 0.9
        assert scene.other.told == ["c"]
        first, second = scene.controller.entries[-1], scene.other.entries[-1]
        assert (first.stream, first.sequence) == (second.stream, second.sequence)

    play(tmp_path, story, has_two=True)


def test_when_the_leader_hangs_up_the_next_one_is_told_at_once(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await both_up(scene)
        scene.controller.answers = False
        scene.tell("a", "b")
        await wait_for(lambda: scene.controller.told == ["a", "b"], "the leader has them")
        await scene.controller.end()
        await wait_for(lambda: scene.outbox.waiting == 0, "the other answers")
        assert scene.other.told == ["a", "b"]

    play(tmp_path, story, has_two=True)


def test_who_comes_to_lead_is_told_what_nobody_answered(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await both_up(scene)
        scene.controller.answers = scene.other.answers = False
        scene.tell("a")
        await wait_for(lambda: scene.other.told == ["a"], "both have it")
        scene.other.answers = True
        await scene.other.lead(term=2)
        await wait_for(lambda: scene.outbox.waiting == 0, "the new leader answers")
        assert scene.other.told == ["a", "a"]
        assert scene.uplink.shown() == {"other": "leads", "controller": "up"}

    play(tmp_path, story, has_two=True)


def test_a_leader_that_was_out_of_reach_is_told_what_nobody_answered(tmp_path: Path) -> None:
    """It led on meanwhile, and the others leave to it what only it can do."""

    async def story(scene: Scene) -> None:
        await both_up(scene)
        scene.other.answers = False
        await scene.controller.end()
        await wait_for(lambda: not scene.uplink.lines[1].is_up, "the leader is out of reach")
        scene.tell("a", "b")
        await wait_for(lambda: scene.other.told == ["a", "b"], "the other has them")
        await asyncio.sleep(NEXT_AFTER_S * 2)  # Until it is too late for the next one.
        await scene.controller.begin()
        await wait_for(lambda: scene.outbox.waiting == 0, "the leader answers")
        assert (scene.controller.told, scene.other.told) == (["a", "b"], ["a", "b"])

    play(tmp_path, story, has_two=True)


def test_asked_to_greet_it_says_hello_on_the_same_link(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await scene.controller.begin()
        await wait_for(lambda: scene.uplink.is_up, "the link")
        await scene.controller.ask(wire.Question(id=9, name=wire.GREET))
        await wait_for(lambda: scene.controller.greetings == 2, "a second greeting")
        assert scene.controller.replies == [wire.Reply(id=9, data={})]

    play(tmp_path, story)
