"""Everything that arrived at a drill's receiver can be waited for, looked up and counted."""

import fcntl
import hmac
import json
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from holdfast.lab.commands import LabError

RECEIVER_PROGRAM = Path(__file__).with_name("receiver.py")
START_LIMIT_S = 15.0
# The receiver must never wait for us to read.
PIPE_BYTES = 1 << 20


@dataclass(frozen=True)
class Arrival:
    """One message as the receiver read it; a heartbeat has no condition."""

    at_ns: int
    stream: str = ""
    sequence: int = 0
    gap: int = 0
    subject: str = ""
    condition: str = ""
    state: str = ""
    revision: int = 0
    key: str = ""
    text: str = ""
    certainty: str = ""
    root: str = ""
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def vm(self) -> str:
        """The VM that it tells of, if it does."""
        return self.subject

    @property
    def repair(self) -> str:
        """What is done about it, in words."""
        return str(self.record.get("repair") or "")

    @property
    def is_raised(self) -> bool:
        """Whether it tells of a fault for the first time."""
        return self.state == "raised"


def read_arrival(line: str, secret: bytes = b"") -> Arrival:
    """Read what the receiver wrote.

    Raises ValueError, KeyError or TypeError for what is no notice of ours or is wrongly signed.
    """
    told = json.loads(line)
    if secret:
        _verify(told["header"], told["body"], secret)
    body = json.loads(told["body"])
    alarm: dict[str, Any] = (body.get("record") or {}).get("alarm") or {}
    return Arrival(
        at_ns=told["at_ns"],
        stream=body["stream"],
        sequence=body["sequence"],
        gap=body.get("gap", 0),
        subject=alarm.get("subject", {}).get("id", "").partition(":")[0],  # A disk's is UUID:DISK.
        condition=alarm.get("condition", ""),
        state=alarm.get("state", ""),
        revision=alarm.get("revision", 0),
        key=alarm.get("key", ""),
        text=alarm.get("text", ""),
        certainty=alarm.get("certainty", ""),
        root=alarm.get("root", ""),
        record=alarm,
    )


def _verify(header: dict[str, str], body: str, secret: bytes) -> None:
    signed = f"{header['holdfast-timestamp']}.{body}".encode()
    if header["holdfast-signature"] != f"sha256={hmac.digest(secret, signed, 'sha256').hex()}":
        raise ValueError("the signature is wrong")


@dataclass(frozen=True)
class Counts:
    """`gaps` are numbers of a stream that never came; `repeated` came more than once."""

    gaps: int
    repeated: int


def count_sequences(arrivals: Iterable[Arrival]) -> Counts:
    """Count from each stream's first number on."""
    seen: dict[str, list[int]] = {}
    for arrival in arrivals:
        seen.setdefault(arrival.stream, []).append(arrival.sequence)
    gaps = repeated = 0
    for numbers in seen.values():
        distinct = set(numbers)
        gaps += max(distinct) - min(distinct) + 1 - len(distinct)
        repeated += len(numbers) - len(distinct)
    return Counts(gaps, repeated)


class Spot(Protocol):
    """Where the receiver runs: a lab host, or a place beside them all."""

    @property
    def name(self) -> str: ...

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]: ...


class Inbox:
    """A receiver, for the length of a `with` block. Messages are signed with `secret`."""

    def __init__(self, spot: Spot, address: str = "127.0.0.1") -> None:
        """Nothing runs until the block begins; `address` is where it listens."""
        self._spot, self.address = spot, address
        self._arrivals: list[Arrival] = []
        self._strange: list[str] = []
        self._changed = threading.Condition()
        self._process: subprocess.Popen[Any] | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self.port = 0
        self.secret = secrets.token_hex(32)

    def __enter__(self) -> Self:
        process = self._process = self._spot.popen(
            [sys.executable, "-I", "-S", str(RECEIVER_PROGRAM), self.address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._reader.start()
        with self._changed:
            if not self._changed.wait_for(lambda: self.port, START_LIMIT_S):
                self.__exit__(None, None, None)
                raise LabError(f"{self._spot.name}: the drill's receiver did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._reader.join()
        self._process.communicate()

    @property
    def strange(self) -> list[str]:
        """Messages that were no notices of Holdfast."""
        with self._changed:
            return list(self._strange)

    def wait(
        self, wanted: Callable[[Arrival], bool], *, since_ns: int, limit_s: float
    ) -> Arrival | None:
        """The first arrival like this since an instant, or None when the time is over."""
        deadline = time.monotonic() + limit_s
        looked = 0
        with self._changed:
            while True:
                for arrival in self._arrivals[looked:]:
                    if arrival.at_ns >= since_ns and wanted(arrival):
                        return arrival
                looked = len(self._arrivals)
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._changed.wait(left)

    def list_raised(self, since_ns: int = 0) -> list[Arrival]:
        """Alarms told for the first time since an instant; repeats on the way are left out."""
        with self._changed:
            found, seen = [], set()
            for arrival in self._arrivals:
                entry = (arrival.stream, arrival.sequence)
                if arrival.is_raised and arrival.at_ns >= since_ns and entry not in seen:
                    found.append(arrival)
                seen.add(entry)
            return found

    def list_since(self, since_ns: int) -> list[Arrival]:
        """All that arrived since an instant, in the order of arrival."""
        with self._changed:
            return [arrival for arrival in self._arrivals if arrival.at_ns >= since_ns]

    def count(self) -> Counts:
        """Gaps and repeats among all that arrived."""
        with self._changed:
            return count_sequences(self._arrivals)

    def _read(self) -> None:
        assert self._process is not None
        for line in self._process.stdout or ():
            with self._changed:
                self._take(line)
                self._changed.notify_all()

    def _take(self, line: str) -> None:
        if not self.port:
            self.port = json.loads(line)["port"]
            return
        try:
            self._arrivals.append(read_arrival(line, self.secret.encode()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._strange.append(f"{error!r}: {line[:300]}")
