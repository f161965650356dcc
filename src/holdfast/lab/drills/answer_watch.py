"""Asks a guest's agent by itself until a new life of the guest answers: the drill's own word.

Run on a lab host: `answer_watch.py again GUEST OLD_ID LIMIT_S` waits for the answer of a life
whose libvirt id is not OLD_ID, `answer_watch.py start GUEST LIMIT_S` starts the guest as plainly
as libvirt can and waits for its answer. Prints JSON objects; times are CLOCK_MONOTONIC ns.
"""

import json
import sys
import time
from typing import Any

import libvirt
import libvirt_qemu

# The same for a recovery and for the plain start beside it, so that neither gains by it.
RETRY_S = 0.01
PING_LIMIT_S = 1
PING = '{"execute": "guest-ping"}'


def wait_answer(connection: Any, guest: str, old_id: int, deadline: float) -> int | None:
    """The instant at which a life other than `old_id` answered; None without one in time."""
    while time.monotonic() < deadline:
        try:
            domain = connection.lookupByName(guest)
            if domain.ID() not in (-1, old_id):
                libvirt_qemu.qemuAgentCommand(domain, PING, PING_LIMIT_S, 0)
                return time.monotonic_ns()
        except libvirt.libvirtError:
            pass  # Not yet: that is what is waited for.
        time.sleep(RETRY_S)
    return None


def say(**what: object) -> None:
    """Print one object."""
    print(json.dumps(what), flush=True)


def main() -> None:
    """Do what the command line says."""
    verb, guest = sys.argv[1:3]
    libvirt.registerErrorHandler(lambda *_: None, None)
    connection = libvirt.open("qemu:///system")
    deadline = time.monotonic() + float(sys.argv[-1])
    old_id = -1
    if verb == "again":
        old_id = int(sys.argv[3])
        say(is_watching=True)
    else:
        domain = connection.lookupByName(guest)
        say(begun_ns=time.monotonic_ns())
        try:
            domain.create()
        except libvirt.libvirtError as error:
            say(error=str(error))
            return
    say(answered_ns=wait_answer(connection, guest, old_id, deadline))


if __name__ == "__main__":
    main()
