"""Rules of leases broken on purpose, each by one edit of the source.

Those that only a whole site shows are in tests/simulation/lease_mutants.py.
"""

from tests.policy.mutant import Mutant

LEASES = ("tests/policy/test_leases.py",)
SITE = ("tests/policy/test_site_leases.py",)
PETTING = ("tests/agent/test_petting.py",)
AGENT = ("tests/agent/test_leasing.py",)
GRANTS = ("tests/controller/test_ear_grants.py",)
PROOF = ("tests/adapters/drivers/test_lease_proof.py",)

LEASE_MUTANTS = (
    Mutant(
        "has every VM rely on a lease",
        "policy/leases.py",
        "    return group.lease and group.owner is Owner.HOLDFAST",
        "    return group.owner is Owner.HOLDFAST",
        LEASES,
    ),
    Mutant(
        "tells a host to let a VM live before the store counts it no more",
        "policy/leases.py",
        "    if kept != known.vms:",
        "    if False:",
        LEASES,
    ),
    Mutant(
        "ends VMs for a lease while disarmed",
        "policy/leases.py",
        "    if is_disarmed:",
        "    if False:",
        LEASES,
    ),
    Mutant(
        "believes that a lease proves all VMs of its host gone",
        "policy/proofs.py",
        "        return is_it and tenure.vm in proof.vms",
        "        return is_it",
        LEASES,
    ),
    Mutant(
        "believes that a lease proves its host dead",
        "policy/proofs.py",
        "    of_parts = (ProofKind.STORAGE, ProofKind.WATCHDOG)",
        "    of_parts = (ProofKind.STORAGE,)",
        LEASES,
    ),
    Mutant(
        "believes that pulses refute the end of a lease",
        "policy/site_fencing.py",
        "    if proof.kind is ProofKind.WATCHDOG:",
        "    if False:",
        SITE,
    ),
    Mutant(
        "counts on a lease of an earlier boot",
        "policy/brakes.py",
        "    return lease.vms if lease is not None and lease.boot == boot else ()",
        "    return lease.vms if lease is not None else ()",
        SITE,
    ),
    Mutant(
        "lets a host keep its VMs that was being switched off",
        "policy/site_fencing.py",
        "    return fence.is_lease and _is_unproven(record, fence) and record.pulses",
        "    return _is_unproven(record, fence) and record.pulses",
        SITE,
    ),
    Mutant(
        "pets the watchdog whatever became of the VMs",
        "facts/lease_words.py",
        "    return at < end + END_MS * NS_PER_MS or gone_for == end",
        "    return True",
        PETTING,
    ),
    Mutant(
        "believes a word about an earlier lease",
        "facts/lease_words.py",
        " or gone_for == end",
        " or gone_for > 0",
        PETTING,
    ),
    Mutant(
        "counts a lease from when its grant came",
        "agent/petting.py",
        "grant.sent_ns + LEASE_MS",
        "at + LEASE_MS",
        PETTING,
    ),
    Mutant(
        "opens the watchdog unasked",
        "agent/petting.py",
        "        if not armed.is_armed:",
        "        if False:",
        PETTING,
    ),
    Mutant(
        "grants after the leader's word is over",
        "controller/ear_grants.py",
        "            if at < self._until:",
        "            if at:",
        GRANTS,
    ),
    Mutant(
        "makes the proof too early",
        "adapters/drivers/lease_proof.py",
        "    if at < due(granted_at):",
        "    if at < granted_at:",
        PROOF,
    ),
    Mutant(
        "obeys an order that is older",
        "agent/leasing.py",
        "        if order.epoch <= epoch:",
        "        if False:",
        AGENT,
    ),
    Mutant(
        "makes a lease longer by arming it anew",
        "agent/leasing.py",
        "        until = was.until if holds else",
        "        until = was.until if False else",
        AGENT,
    ),
    Mutant(
        "says that all is gone while a start is under way",
        "agent/leasing.py",
        "            return False  # It may begin at any moment; after it, none is let begin.",
        "            pass",
        AGENT,
    ),
    Mutant(
        "starts what ended with its lease by any grant",
        "policy/relying.py",
        "    if fact.epoch != world.reliance.epoch:",
        "    if False:",
        AGENT,
    ),
)
