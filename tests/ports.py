"""Ports for tests: outside of those that the kernel gives to whoever connects, and free on all."""

import contextlib
import random
import socket
from collections.abc import Sequence

FIRST, LAST = 15_000, 31_000
TRIES = 200


def free_port(addresses: Sequence[str] = ("",)) -> int:
    """One that is free on all of them, for TCP and UDP. Several tests run at once."""
    for _ in range(TRIES):
        port = random.SystemRandom().randint(FIRST, LAST)
        with contextlib.ExitStack() as held:
            try:
                for address in addresses:
                    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                        probe = held.enter_context(socket.socket(socket.AF_INET, kind))
                        probe.bind((address, port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")
