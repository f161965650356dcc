"""How long a host's lease and its watchdog run, and when both are over. Standard library only.

    a pulse is sent, and answered with a grant
    |-- lease: 20 s --|-- 5 s: the agent ends VMs --|-- 10 s: the watchdog --|-- margin --|
                      the VMs must end              nobody pets it           host is reset  proof

The first part runs on the host's clock, from when the pulse was sent; the leader counts all of it
from when it heard the pulse, which was later.
"""

LEASE_MS = 20_000
END_MS = 5_000  # After its lease ran out an agent has so long to end what relies on it.
WATCHDOG_MS = 10_000  # Of the device; what is read back may be shorter, and never longer.
DRIFT_MS = 2_000  # Two clocks that differ, and a petting that came just before the end.
PROOF_MS = LEASE_MS + END_MS + WATCHDOG_MS + DRIFT_MS

GRANT_AGAIN_MS = 500  # A host that pulses is granted its lease so often on each plane.
AUTHORITY_MS = 1_000  # For so long an ear may grant without a new word of the leader.
AUTHORITY_AGAIN_MS = 250
