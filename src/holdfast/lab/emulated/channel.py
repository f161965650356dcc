"""Commands are run in an emulated host through a virtio port (see inside/channel.py)."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.lab.commands import LabError
from holdfast.lab.emulated.qmp import Lines

ANSWER_MARGIN_S = 15.0


@dataclass(frozen=True)
class Done:
    """What came of a command: its exit status and its words."""

    code: int
    out: str
    err: str


class Channel:
    """One machine's, from its boot or restore on."""

    def __init__(self, path: Path, limit_s: float) -> None:
        """Raises LabError when QEMU does not listen."""
        self._lines = Lines(path, limit_s)
        self._number = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self._changed = threading.Condition()
        self._is_over = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_hello(self, limit_s: float) -> str:
        """Until the machine has booted; returns its kernel's version. Raises LabError."""
        return str(self._wait(0, limit_s, "boot")["out"])

    def run(
        self,
        argv: Sequence[str],
        *,
        limit_s: float = 60.0,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        is_checked: bool = True,
    ) -> Done:
        """Run a command to its end. Raises LabError when it fails, with its own words."""
        asked = {"argv": [*argv], "stdin": stdin, "limit_s": limit_s, "env": dict(env or {})}
        told = self._ask(asked, limit_s + ANSWER_MARGIN_S, " ".join(argv)[:200])
        done = Done(told["code"], told["out"], told["err"])
        if is_checked and done.code != 0:
            raise LabError(f"{' '.join(argv)}: {done.err.strip() or done.out.strip()}")
        return done

    def leave(self, argv: Sequence[str], log: str, env: Mapping[str, str] | None = None) -> int:
        """Start a program that goes on; returns its pid there. Raises LabError."""
        asked = {"argv": [*argv], "is_left": True, "log": log, "env": dict(env or {})}
        told = self._ask(asked, ANSWER_MARGIN_S, argv[0])
        if told["code"] != 0:
            raise LabError(f"{argv[0]}: {told['err']}")
        return int(told["pid"])

    def close(self) -> None:
        """End the connection."""
        self._lines.close()
        self._reader.join()

    def _ask(self, asked: dict[str, Any], limit_s: float, what: str) -> dict[str, Any]:
        with self._changed:
            self._number += 1
            number = self._number
        self._lines.send({"id": number, **asked})
        return self._wait(number, limit_s, what)

    def _wait(self, number: int, limit_s: float, what: str) -> dict[str, Any]:
        with self._changed:
            self._changed.wait_for(lambda: number in self._answers or self._is_over, limit_s)
            if number in self._answers:
                return self._answers.pop(number)
        raise LabError(f"the machine {'ended' if self._is_over else 'did not answer'}: {what}")

    def _read(self) -> None:
        while (told := self._lines.read()) is not None:
            with self._changed:
                self._answers[told.get("id", -1)] = told
                self._changed.notify_all()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
