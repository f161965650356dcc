"""A controller or agent that answers from a table, on a real socket, and keeps the questions."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.server import ServerConnection, unix_serve

from holdfast.facts import wire

# An answer is data, a Reply, several replies, a function of the question, or a broken link.
Answer = Any
HANG_UP = "hang up"


class FakeProgram:
    """`table` is from the question's name to its answer; any other question is unknown."""

    def __init__(self, table: dict[str, Answer]) -> None:
        self.table = table
        self.asked: list[wire.Question] = []

    def serve(self, link: ServerConnection) -> None:
        for raw in link:
            question = wire.decode(raw)
            assert isinstance(question, wire.Question)
            self.asked.append(question)
            if self.table.get(question.name) == HANG_UP:
                return
            for reply in self._replies(question):
                link.send(wire.encode(reply).decode())

    def _replies(self, question: wire.Question) -> list[wire.Reply]:
        if question.name not in self.table:
            return [wire.Reply(id=question.id, error="an unknown question", code=2)]
        answer = self.table[question.name]
        if isinstance(answer, Callable):  # type: ignore[arg-type]
            answer = answer(question)
        if isinstance(answer, wire.Reply):
            answer = [answer]
        if isinstance(answer, list) and answer and isinstance(answer[0], wire.Reply):
            return [_with_id(reply, question.id) for reply in answer]
        return [wire.Reply(id=question.id, data=answer)]


def _with_id(reply: wire.Reply, number: int) -> wire.Reply:
    plain = {name: getattr(reply, name) for name in reply.__struct_fields__}
    return wire.Reply(**{**plain, "id": number})


@contextmanager
def answering(run_dir: Path, program: str, table: dict[str, Answer]) -> Iterator[FakeProgram]:
    """The program answers on its socket in `run_dir` as long as the block lasts."""
    fake = FakeProgram(table)
    path = run_dir / f"{program}.sock"
    with unix_serve(fake.serve, str(path), compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join(10)
            path.unlink()
