"""Every deadline of the system, with the asserts that tie it to its neighbours. Milliseconds."""

from holdfast.facts import lease_times
from holdfast.facts.promises import Group

REPORT_LIMIT_MS = 1_000  # H6: a VM failure reaches the VIM within one second.
CLEAN_END_WAIT_MS = 700  # How long a clean end waits for libvirt's word (detectors/vm_gone.py).
JUDGED_WITHIN_MS = 2_000  # By then a detector has said why a process ended, or none will.
REPORT_MARGIN_MS = 250  # What is left for the way to the VIM after the longest judgement.

# A failed VM that ended by itself is proven gone at once. libvirt takes some 200 ms to see the
# end; asking again every few tens of milliseconds costs nothing and keeps recovery close to it.
PROVE_RETRY_MS = (20, 20, 20, 40, 40, 40, 80, 80, 160, 320, 640, 1_280, 2_560, 5_000)
PROVE_SAID_AFTER_MS = 2_000  # Longer than that, and a person may ask why.
# After the process has ended. What else is there may be a hung mount, or a libvirt that is away.
PROVE_GIVE_UP_MS = 3_600_000
# After the first sign, the end itself is awaited this long before somebody goes and looks: the
# kernel frees 10 GB of memory in about a second, and writes a core more slowly than that.
LAST_SIGN_MS = 10_000

END_RETRY_MS = 2_000
END_TRIES = 5
UNEXPLAINED_WAIT_MS = 60_000  # A stop that nobody can explain waits this long for a witness.

MEND_LIMIT_MS = 660_000  # A guest that mends itself: longer than its crash dump may take.

BACK_OFF_MS = (0, 1_000, 5_000, 15_000, 30_000, 60_000)  # By restarts already in the window.
ANSWER_LIMIT_MS = 300_000  # A guest may check its file systems before it answers.

LAST_WORDS_BUDGET_MS = 1_500  # Recovery of a live but stuck VM waits this long for evidence.
DUMP_LIMIT_MS = 60_000  # More only when the group asked for a memory dump.

# A host pulses so often on each plane, and is silent on one after so many missed pulses.
PULSE_PERIOD_MS = 50
PULSE_MISSES = 4
SILENCE_MS = PULSE_PERIOD_MS * PULSE_MISSES
EAR_LOOKS_MS = 10  # How often the ear judges.
PROBE_LIMIT_MS = 100  # How long a host that is doubted may take to answer.
SUSPECTED_LIMIT_MS = 300  # The promise: from a host's silent death until its suspicion arrived.
# A planned restart may be silent for so long, and then is a death like any other.
PULSE_RESTART_LIMIT_MS = 5_000
AGENT_RESTART_LIMIT_MS = 30_000
HOST_STOP_LIMIT_MS = 600_000
# From its word that it stops until a host is back: its VMs are ended, and it boots.
HOST_BOOT_MS = 900_000  # Firmware that checks much memory and many disks takes that long.
HOST_BACK_LIMIT_MS = 1_800_000
LAYER_PERIOD_MS = 100  # How often the agent writes its word on the health board.
LAYER_LIMIT_MS = 500  # A word that is older is stale.

LEVEL_MS = {1: 6_000, 2: 15_000, 3: 25_000}  # Recovery by service level (docs/REQUIREMENTS.md).

# Judging hosts (detectors/host_silent and its neighbours, policy/site).
# Who was heard so recently shows that it is not the controller that is cut off; else all hosts
# are missed within one period, and a margin, of each other (detectors/host_silent).
FRESH_MS = 120
TOGETHER_MS = 60
FRESH_LOOK_MS = 250  # After a doubt of the ear: who lives has been heard again by then.
PLANE_HOLD_MS = 200  # One plane's silence waits so long for the others', to be the host's.
AGENT_AWAY_MS = 500  # An agent whose link broke, or whose word grew stale, is missed so long.
STALE_AGAIN_MS = 150  # So long its pulse goes on saying so before an old word means anything.
NEVER_HEARD_MS = 10_000  # A known host is suspected when it was not heard since a start.
WITNESS_AGAIN_MS = (2_000, 2_000, 5_000, 10_000, 30_000, 60_000)  # While a host is silent.
WITNESS_LIVES_MS = 5_000  # Who lives by what others say alone is asked after so often.
WITNESS_LIMIT_MS = 400  # A witness that has not answered by then knows nothing.
TOGETHER_LOST_MS = 1_000  # Losses that share a rack or a switch, so close, are one.
PAGE_AFTER_MS = 30_000  # A suspicion that stands so long is a person's.
ADRIFT_AFTER_MS = 30_000  # A VM that left its host by hand, and that nobody has, is so, too.
SHARE_WAIT_MS = 250  # So long a controller that does not lead leaves it to others to report.
TAKE_OVER_MS = 12_000  # A new leader has then heard whom it can hear, and ends what is over.

# Acting on hosts (policy/site_fencing, site_recovery).
# A host is fenced when it was silent for so long: two rounds of witnesses have been asked by then.
FENCE_AFTER_MS = 3_000  # Also the least that a site may set.
FENCE_AFTER_MOST_MS = 600_000
PUT_AGAIN_MS = 2_000  # A commit of which the store says nothing is asked for again.
FENCE_AGAIN_MS = (5_000, 10_000, 30_000, 60_000)  # After all devices of a ladder failed.
# From the read-back to the proof: a host that was switched off by mistake is missed by then.
PROOF_HOLD_MS = 500
BRAKE_PERCENT = 30  # Of the hosts may be silent at once before a person must look; one always may.
BRAKE_PERCENTS = (10, 50)  # What a site may set.
GRACE_MS = 300_000  # Since a start: whoever was never heard may only be booting.
STORM_MS = 600_000  # Fences so close to each other count together.
START_AGAIN_MS = 5_000  # A target that did not answer is told again.
TAKEN_AGAIN_MS = 30_000  # One that took the order and shows nothing of it, too.
PLACE_AGAIN_MS = 10_000  # Where no host has room, it is looked again.
REFUSED_FOR_MS = 60_000  # Then hosts that refused a VM may be asked once more.
MOVE_LOOK_MS = 500  # So often the ends of a migration are asked what they have.
# One after the other: between both words a VM may move, and only the second look at the first end
# tells that from a VM that runs at both.
RUNS_TWICE_LOOKS = 2
MOVE_AGAIN_MS = 60_000  # A VM whose move failed is left alone for so long by a drain.
TRIES_HERE = 2  # Starts on one target, while another host could take the VM as well.
TARGETS_TRIED = 10  # Then another one only when something is different, or so much later:
TARGETS_REST_MS = 600_000

# The host mends itself (policy/ladder).
STEP_SAID_MS = 2_000  # After its limit a step has been ended, and how it ended has been said.
AFTER_CAUSE_MS = 3_000  # What came back with its cause is seen by then.
MENDS_AN_HOUR = 20  # Of all ladders of a host together: whoever mends more is sick itself.

LEADER_CHANGE_MS = 10_000  # The worst: from the death of a leader until the next one acts.
CLOCK_DRIFT_PPM = 1_000  # No clock of a machine is that wrong, or it has been replaced.

# The ear, the hold, and the way to the VIM: within the limit.
assert SILENCE_MS + TOGETHER_MS < SUSPECTED_LIMIT_MS
# Somebody heard within that time was heard after this host fell silent.
assert FRESH_MS < SILENCE_MS - PULSE_PERIOD_MS
assert TOGETHER_MS >= PULSE_PERIOD_MS
assert FRESH_LOOK_MS > SILENCE_MS
# Also what is held, and what another controller reports in the stead of a dead leader.
assert SILENCE_MS + PLANE_HOLD_MS + SHARE_WAIT_MS < REPORT_LIMIT_MS
assert SILENCE_MS + TOGETHER_MS + SHARE_WAIT_MS < REPORT_LIMIT_MS
assert TAKE_OVER_MS > NEVER_HEARD_MS + SUSPECTED_LIMIT_MS
assert WITNESS_AGAIN_MS[0] > FRESH_LOOK_MS + WITNESS_LIMIT_MS >= PROBE_LIMIT_MS
assert list(WITNESS_AGAIN_MS) == sorted(WITNESS_AGAIN_MS)
# A round has ended before the next begins.
assert FRESH_LOOK_MS + 2 * WITNESS_LIMIT_MS < WITNESS_LIVES_MS

assert TARGETS_REST_MS > REFUSED_FOR_MS > PLACE_AGAIN_MS
# Two rounds of witnesses have answered before a host is fenced.
assert WITNESS_AGAIN_MS[0] + FRESH_LOOK_MS + WITNESS_LIMIT_MS < FENCE_AFTER_MS
assert FENCE_AFTER_MS < PAGE_AFTER_MS < FENCE_AFTER_MOST_MS
assert PROOF_HOLD_MS > SILENCE_MS + TOGETHER_MS + EAR_LOOKS_MS
assert GRACE_MS > TAKE_OVER_MS
assert list(FENCE_AGAIN_MS) == sorted(FENCE_AGAIN_MS)

# No VM ends by a lease because a leader died: the next one grants it long before.
assert lease_times.LEASE_MS >= 2 * LEADER_CHANGE_MS
assert lease_times.PROOF_MS > (lease_times.LEASE_MS + lease_times.END_MS + lease_times.WATCHDOG_MS)
# The host's clock may be slow and the leader's fast, and the last petting as late as it can be.
assert (
    2 * CLOCK_DRIFT_PPM * lease_times.PROOF_MS / 1_000_000 + 4 * PULSE_PERIOD_MS
    < lease_times.DRIFT_MS
)
# A petting that is late is no bite; a grant that is lost, no end.
assert lease_times.WATCHDOG_MS >= 20 * PULSE_PERIOD_MS
assert lease_times.GRANT_AGAIN_MS * 10 <= lease_times.LEASE_MS
assert lease_times.AUTHORITY_AGAIN_MS * 2 < lease_times.AUTHORITY_MS < lease_times.LEASE_MS
# An agent that is well shows that all of them are gone before its pulse stops petting.
assert 10 * LAYER_PERIOD_MS <= lease_times.END_MS

# A clean end is judged, reported and answered within the promised second.
assert CLEAN_END_WAIT_MS + REPORT_MARGIN_MS < REPORT_LIMIT_MS
# A detector has its time before policy says in its stead that nobody knows.
assert JUDGED_WITHIN_MS > 2 * CLEAN_END_WAIT_MS
# A suspicion is not given up before the slowest witness has spoken.
assert UNEXPLAINED_WAIT_MS > LAST_SIGN_MS > CLEAN_END_WAIT_MS
# Level 1 leaves room for evidence, proof and a boot of some seconds.
assert LEVEL_MS[1] / 2 > LAST_WORDS_BUDGET_MS
# The last pulse may have been sent just before the death; what is left is for the way to the VIM.
assert SILENCE_MS + EAR_LOOKS_MS + 60 <= SUSPECTED_LIMIT_MS
# One lost pulse, or two, is no silence; and a word is not stale for one that came late.
assert PULSE_MISSES >= 4
assert LAYER_LIMIT_MS >= 4 * LAYER_PERIOD_MS
assert STALE_AGAIN_MS > 2 * PULSE_PERIOD_MS
assert LAYER_LIMIT_MS + PULSE_PERIOD_MS + STALE_AGAIN_MS + REPORT_MARGIN_MS < REPORT_LIMIT_MS
# Whoever restarts on purpose is not taken for lost before the limit, and not forgotten after it.
assert SILENCE_MS < PULSE_RESTART_LIMIT_MS < AGENT_RESTART_LIMIT_MS < HOST_STOP_LIMIT_MS
assert HOST_STOP_LIMIT_MS + HOST_BOOT_MS < HOST_BACK_LIMIT_MS
assert list(BACK_OFF_MS) == sorted(BACK_OFF_MS)
assert list(PROVE_RETRY_MS) == sorted(PROVE_RETRY_MS)


def back_off_ms(restarts_in_window: int) -> int:
    return BACK_OFF_MS[min(restarts_in_window, len(BACK_OFF_MS) - 1)]


def prove_retry_ms(tries: int) -> int:
    return PROVE_RETRY_MS[min(tries, len(PROVE_RETRY_MS) - 1)]


def fence_again_ms(tries: int) -> int:
    return FENCE_AGAIN_MS[min(tries, len(FENCE_AGAIN_MS)) - 1]


def witness_again_ms(times: int, *, lives: bool) -> int:
    """`lives`: witnesses say so, and nothing else would tell that it has died since."""
    wait_ms = WITNESS_AGAIN_MS[min(times, len(WITNESS_AGAIN_MS) - 1)]
    return min(wait_ms, WITNESS_LIVES_MS) if lives else wait_ms


def evidence_limit_ms(group: Group, *, is_live: bool) -> int:
    """Memory is dumped only of a guest that still lives, and only if its group asks for it."""
    return LAST_WORDS_BUDGET_MS + (DUMP_LIMIT_MS if is_live and group.dump else 0)
