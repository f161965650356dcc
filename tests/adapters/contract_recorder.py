"""What every flight recorder keeps: the contract that the real one and the fake are tested by."""

import msgspec

from holdfast.facts.instants import NS_PER_S, Instant
from holdfast.facts.last_words import Noted, Sample
from holdfast.ports.recorder import Kept, Recorder

START = 1_000 * NS_PER_S


def noted(second: int, text: str = "hello", kind: str = "console") -> Noted:
    at = Instant(START + second * NS_PER_S)
    return Noted(at=at, utc_ms=second * 1_000, kind=kind, text=text)


def sample(second: int) -> Sample:
    return Sample(
        at=Instant(START + second * NS_PER_S),
        utc_ms=second * 1_000,
        cpu_ms=second * 10,
        rss_kib=262_144,
        read_bytes=second * 4_096,
        written_bytes=0,
        net_in_bytes=second,
        net_out_bytes=second,
        state="S",
    )


def without_boot(kept: list[Kept]) -> list[Kept]:
    return [item for item in kept if not (isinstance(item, Noted) and item.kind == "boot")]


class RecorderContract:
    def make(self) -> Recorder:
        raise NotImplementedError

    def test_what_was_added_comes_back_in_order(self) -> None:
        recorder = self.make()
        items: list[Kept] = [sample(1), noted(2, "panic: ÄÖ\x1b[0m\x00"), sample(3)]
        for item in items:
            recorder.add(item)
        assert recorder.since(Instant(START)) == items
        assert recorder.since(Instant(START + 2 * NS_PER_S)) == items[1:]
        assert recorder.since(Instant(START + 4 * NS_PER_S)) == []
        assert recorder.lost == 0
        recorder.close()

    def test_the_newest_fit_and_are_lines_of_json(self) -> None:
        recorder = self.make()
        for second in range(100):
            recorder.add(sample(second))
        lines = recorder.newest(1_000).splitlines()
        assert 3 <= len(lines) <= 8
        assert msgspec.json.decode(lines[-1], type=Kept) == sample(99)
        assert msgspec.json.decode(lines[0], type=Kept) == sample(100 - len(lines))
        assert sum(len(line) + 1 for line in lines) <= 1_000
        assert recorder.newest(10) == ""
        recorder.close()
