"""Many simulated hosts that pulse from one process: real datagrams, each host with its own key.

Run with `python -m holdfast.lab.drills.many_pulses FIRST COUNT PORT OWN=ADDRESS...`; a plane's
name is before the `=`. Within a period the hosts take turns, as hosts that nobody aligned do.
"""

import os
import socket
import sys
import time
from hashlib import blake2s

from holdfast.facts.layers import Layer, LayerState
from holdfast.facts.pulse import KEY_BYTES, Names, Pulse, Word, encode

PERIOD_NS = 50_000_000
SLOTS = 50
BOOT = "00000000-00000001"
WORDS = {
    Layer.AGENT: Word(LayerState.WELL, 50),
    Layer.LIBVIRT: Word(LayerState.WELL, 50),
}


def name_of(number: int) -> str:
    """A host id, as hosts make them."""
    return f"{number:08x}"


def key_of(number: int) -> bytes:
    """A key for each, that the controller can be told without asking."""
    return blake2s(name_of(number).encode(), digest_size=KEY_BYTES).digest()


def main() -> None:
    first, count, port = map(int, sys.argv[1:4])
    planes = dict(word.split("=") for word in sys.argv[4:])
    ways = []
    for plane, address in planes.items():
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind((address, 0))
        opened.connect((address, port))
        ways.append((plane, opened))
    hosts = [(name_of(number), key_of(number)) for number in range(first, first + count)]
    turns = [hosts[slot::SLOTS] for slot in range(SLOTS)]
    sequence = time.monotonic_ns() // 1_000_000
    due = time.monotonic_ns()
    while os.getppid() != 1:
        sequence += 1
        for turn in turns:
            due += PERIOD_NS // SLOTS
            time.sleep(max(0, due - time.monotonic_ns()) / 1e9)
            for name, key in turn:
                _pulse(name, key, sequence, ways)
        due = max(due, time.monotonic_ns() - PERIOD_NS)


def _pulse(name: str, key: bytes, sequence: int, ways: list[tuple[str, socket.socket]]) -> None:
    for plane, opened in ways:
        pulse = Pulse(
            names=Names(name, plane, BOOT),
            sequence=sequence,
            sent_ns=time.monotonic_ns(),
            layers=WORDS,
        )
        try:
            opened.send(encode(pulse, key))
        except OSError:  # Nobody listens yet, or any more.
            continue


if __name__ == "__main__":
    main()
