"""Measures how long nothing comes through a network: many small datagrams, each sent back.

Run with the standard library alone: `traffic.py echo ADDRESS` where the other end is, and
`traffic.py ask ADDRESS SECONDS` here. It says `begun`, and at its end one line of JSON.
"""

import json
import socket
import sys
import time

PORT = 7999
EVERY_S = 0.002
SO_NO_CHECK = 11  # A data path in user space does not finish checksums that a driver left open.


def open_door() -> socket.socket:
    """A UDP socket whose datagrams have no checksum."""
    door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    door.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    return door


def echo(address: str) -> None:
    """Send back what comes, for ever."""
    with open_door() as door:
        door.bind((address, PORT))
        print("begun", flush=True)
        while True:
            data, whom = door.recvfrom(64)
            door.sendto(data, whom)


def ask(address: str, seconds: float) -> None:
    """Ask and count; the longest time between two answers is what was lost."""
    with open_door() as door:
        door.connect((address, PORT))
        door.setblocking(False)
        print("begun", flush=True)
        sent = answered = 0
        longest_ms, longest_from_ns = 0.0, 0
        first_ns = last_ns = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                door.send(sent.to_bytes(8, "big"))
                sent += 1
            except OSError:
                pass  # No way there at the moment: that is what is measured.
            time.sleep(EVERY_S)
            while True:
                try:
                    door.recv(64)
                except OSError:
                    break
                now = time.monotonic_ns()
                answered += 1
                first_ns = first_ns or now
                gap_ms = (now - last_ns) / 1e6 if last_ns else 0.0
                if gap_ms > longest_ms:
                    longest_ms, longest_from_ns = gap_ms, last_ns
                last_ns = now
    said = {"sent": sent, "answered": answered, "longest_ms": round(longest_ms, 1)}
    print(json.dumps(said | {"longest_from_ns": longest_from_ns, "last_ns": last_ns}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "echo":
        echo(sys.argv[2])
    else:
        ask(sys.argv[2], float(sys.argv[3]))
