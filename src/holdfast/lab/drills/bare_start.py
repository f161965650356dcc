"""The peer of a recovery: the same VMs, on the same hosts, all started at once by libvirt alone."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from holdfast.lab.drills.acting import ActingSite
from holdfast.lab.drills.figures import NS_PER_MS
from holdfast.lab.guests import Guest
from holdfast.lab.hosts import Host

ANSWERED_LIMIT_S = 300.0  # As long as recoveries of as many may take.


def bare_start_ms(acting: ActingSite, places: Sequence[tuple[Host, Guest]]) -> float:
    """Milliseconds from the first start to the last guest that answers. They are nobody's then."""
    guests = [Guest.define(host, guest.plan) for host, guest in places]
    for guest in guests:
        acting.command("vm", "unprotect", guest.name)
        guest.virsh("destroy")
    began_ns = time.monotonic_ns()
    with ThreadPoolExecutor(len(guests)) as pool:
        answered = list(pool.map(_answer_ns, guests))
    return (max(answered) - began_ns) / NS_PER_MS


def _answer_ns(guest: Guest) -> int:
    guest.start()
    return guest.wait_answer(ANSWERED_LIMIT_S)
