"""Acting on hosts broken on purpose, one edit each; see test_mutants.py."""

from tests.policy.mutant import Mutant

FENCING = ("tests/policy/test_site_fencing.py",)
RECOVERY = ("tests/policy/test_site_recovery.py",)
PROOFS = ("tests/policy/test_proofs.py",)
COMMITS = ("tests/controller/test_recovering.py",)

FENCE_MUTANTS = (
    Mutant(
        "acts on hosts in report mode",
        "policy/brakes.py",
        "    if record.mode is not HostMode.ACT:",
        "    if False:",
        FENCING,
    ),
    Mutant(
        "troubles people about hosts in report mode",
        "policy/site_fencing.py",
        "    if record.mode is HostMode.REPORT:",
        "    if False:",
        FENCING,
    ),
    Mutant(
        "acts while disarmed",
        "policy/brakes.py",
        "    if world.disarm is not None:",
        "    if False:",
        FENCING,
    ),
    Mutant(
        "acts without leading",
        "policy/site_acts.py",
        "    if world.term:\n        acts",
        "    if True:\n        acts",
        FENCING,
    ),
    Mutant(
        "knows no brake",
        "policy/brakes.py",
        "    if len(silent) > limit:",
        "    if False:",
        FENCING,
    ),
    Mutant(
        "forgets whom it fenced a moment ago",
        "policy/brakes.py",
        "    if is_ours and fenced_at and",
        "    if False and",
        FENCING,
    ),
    Mutant(
        "fences a whole rack",
        "policy/brakes.py",
        "    if together is not None and len(together.hosts) > 1:",
        "    if False:",
        FENCING,
    ),
    Mutant(
        "fences while it is in trouble itself",
        "policy/brakes.py",
        "    if world.own_faults:",
        "    if False:",
        FENCING,
    ),
    Mutant(
        "fences at the first silence",
        "policy/timing.py",
        "FENCE_AFTER_MS = 3_000",
        "FENCE_AFTER_MS = 2_700",
        FENCING,
    ),
    Mutant(
        "gives a booting host no time",
        "policy/brakes.py",
        "    if not record.was_heard:\n        due",
        "    if False:\n        due",
        FENCING,
    ),
    Mutant(
        "fences a host that writes its crash dump",
        "policy/brakes.py",
        "    due = max(due, _dumped_by(record) or due)",
        "",
        FENCING,
    ),
    Mutant(
        "fences for nothing",
        "policy/site_fencing.py",
        "    why_not = brakes.pointless(world, record) or brakes.hindrance(world, record)",
        "    why_not = brakes.hindrance(world, record)",
        FENCING,
    ),
    Mutant(
        "drops an intent when the host is heard again",
        "policy/site_fencing.py",
        "    is_of_before = fence.step is FenceStep.OFF and record.boot not in boots_of(fence)",
        "    if record.state not in SILENT and fence.step is FenceStep.INTENDED:\n"
        "        return None\n"
        "    is_of_before = fence.step is FenceStep.OFF and record.boot not in boots_of(fence)",
        FENCING,
    ),
    Mutant(
        "believes whatever a device says",
        "policy/site_fencing.py",
        "    doubt = _doubt(world, record, fence)",
        '    doubt = ""',
        FENCING,
    ),
    Mutant(
        "keeps its doubt to itself",
        "policy/site_fencing.py",
        "        return [_put(fence, doubt=doubt, term=world.term), *told]",
        "        return told",
        FENCING,
    ),
    Mutant(
        "lets a host rejoin with what is another's",
        "policy/site_fencing.py",
        " or stale_copies(world, record):",
        ":",
        FENCING,
    ),
    Mutant(
        "goes on after its proof was refuted",
        "policy/site_recovery.py",
        "    if record is not None and world.is_contradicted(record):",
        "    if False:",
        FENCING,
    ),
    Mutant(
        "takes any proof for any tenure",
        "policy/proofs.py",
        "    return proof.host == tenure.host and tenure.boot in (proof.boot, *proof.earlier)",
        "    return proof.host == tenure.host",
        COMMITS,
    ),
    Mutant(
        "takes silence for a no",
        "policy/site_recovery.py",
        "    _told_again(world, outcome.vm, outcome.generation, timing.START_AGAIN_MS)",
        "    world.recoveries[outcome.vm] = msgspec.structs.replace(\n"
        "        world.recoveries[outcome.vm], step=RecoveryStep.GIVEN_BACK\n"
        "    )",
        RECOVERY,
    ),
    Mutant(
        "chooses the next target before the first gave it back",
        "policy/proofs.py",
        "        and known.step is RecoveryStep.GIVEN_BACK\n",
        "",
        COMMITS,
    ),
    Mutant(
        "starts what runs elsewhere already",
        "policy/site_recovery.py",
        "    if runs_on is not None:",
        "    if False:",
        RECOVERY,
    ),
    Mutant(
        "moves what is local",
        "policy/site_recovery.py",
        "    if promise.needs.obstacle:",
        "    if False:",
        RECOVERY,
    ),
    Mutant(
        "gives the same room twice",
        "policy/placement.py",
        "            if (host, vm) not in there and promise",
        "            if False and promise",
        RECOVERY,
    ),
    Mutant(
        "starts all at once",
        "policy/site_recovery.py",
        "STARTS_AT_ONCE = 4",
        "STARTS_AT_ONCE = 400",
        RECOVERY,
    ),
    Mutant(
        "revives what was stopped on purpose",
        "policy/proofs.py",
        "    if tenure.wanted is not Wanted.RUNNING:\n"
        '        return "it is wanted stopped"\n'
        "    if tenure.state is TenureState.MIGRATING:",
        "    if tenure.state is TenureState.MIGRATING:",
        COMMITS,
    ),
    Mutant(
        "switches off what is not committed",
        "controller/recovering.py",
        "            refusal = self._refusal(fence)",
        '            refusal = ""',
        COMMITS,
    ),
    Mutant(
        "commits an intent that a person has forbidden since",
        "controller/recovering.py",
        "            if not is_next or is_heard or self._why_not(asked.host):",
        "            if not is_next or is_heard:",
        COMMITS,
    ),
    Mutant(
        "takes a garbled answer for a no",
        "controller/recovering.py",
        '        elif said.get("is_taken") is False:',
        '        elif not said.get("is_taken") or True:',
        COMMITS,
    ),
    Mutant(
        "takes a cut of some disks for one of all",
        "policy/proofs.py",
        "    is_whole = all(disk in",
        "    is_whole = any(disk in",
        PROOFS,
    ),
    Mutant(
        "takes a cut of disks that it does not know for one of all",
        "policy/proofs.py",
        "    if of_proof != (tenure.vm, tenure.generation, tenure.host) or not disks:",
        "    if of_proof != (tenure.vm, tenure.generation, tenure.host):",
        PROOFS,
    ),
    Mutant(
        "takes a cut of an earlier generation",
        "policy/proofs.py",
        "    of_proof = (proof.vm, proof.generation, proof.host)",
        "    of_proof = (proof.vm, tenure.generation, proof.host)",
        PROOFS,
    ),
    Mutant(
        "forgets the guest that runs on from memory",
        "policy/proofs.py",
        "    return is_whole and (identity is Identity.TOLERATE or proof.is_unreachable)",
        "    return is_whole",
        PROOFS,
    ),
)
