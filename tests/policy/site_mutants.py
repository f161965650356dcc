"""The policy of sites broken on purpose, one edit each; see test_mutants.py."""

from tests.policy.mutant import Mutant

STEPS = ("tests/policy/test_site.py",)
REPLICAS = ("tests/policy/test_site_replicas.py",)
STORIES = ("tests/stories/test_site_stories.py",)
CASES = ("tests/detectors/test_cases.py",)

SITE_MUTANTS = (
    Mutant(
        "confirms a death that nobody has seen",
        "detectors/host_silent/evidence.py",
        '        certainty=Certainty.SUSPECTED,\n        reason=f"is silent: ',
        '        certainty=Certainty.CERTAIN,\n        reason=f"is silent: ',
        CASES,
    ),
    Mutant(
        "suspects hosts while it is cut off itself",
        "detectors/host_silent/__init__.py",
        "        if len(remote) > 1 and not hears_somebody and not self._is_cut_off:",
        "        if False and len(remote) > 1 and not hears_somebody:",
        CASES,
    ),
    Mutant(
        "suspects hosts while it doubts its ears",
        "detectors/host_silent/__init__.py",
        "        if self._is_doubted or (self._is_cut_off and not host.is_here):",
        "        if self._is_cut_off and not host.is_here:",
        CASES,
    ),
    Mutant(
        "takes a planned stop for a loss",
        "policy/site_plans.py",
        "    return not is_overdue",
        "    return False",
        (*STORIES, "-k", "shut_down_is_no_loss"),
    ),
    Mutant(
        "waits for ever for a host that was stopped on purpose",
        "policy/site_plans.py",
        "    return not is_overdue",
        "    return True",
        (*STORIES, "-k", "stopped_and_does_not_come_back"),
    ),
    Mutant(
        "takes hosts that are stopped on purpose for its own end",
        "detectors/host_silent/__init__.py",
        "[host for host in waiting if host.plan is not Plan.HOST_STOPS]",
        "list(waiting)",
        CASES,
    ),
    Mutant(
        "does not follow the ear back to an earlier boot",
        "detectors/host_silent/__init__.py",
        "        if host.boot != seen.boot:  #",
        "        if host.boot != seen.boot and seen.boot not in host.boots:  #",
        CASES,
    ),
    Mutant(
        "asks witnesses before it reports",
        "policy/site.py",
        "key=lambda action: not isinstance(action, Report)",
        "key=lambda action: isinstance(action, Report)",
        STEPS,
    ),
    Mutant(
        "does not raise a revision",
        "policy/site_alarms.py",
        "        revision=known.revision + 1 if known else 1,",
        "        revision=1,",
        STEPS,
    ),
    Mutant(
        "clears what another leads in saying",
        "policy/site_alarms.py",
        "    return bool(world.term) or known.host == world.controller",
        "    return True",
        REPLICAS,
    ),
    Mutant(
        "says at once what a leader says",
        "policy/site_alarms.py",
        "            return None\n    return _put(world, want, AlarmState.RAISED)",
        "            pass\n    return _put(world, want, AlarmState.RAISED)",
        STEPS,
    ),
    Mutant(
        "says a VM below a root that nobody has heard of",
        "policy/site_alarms.py",
        "        yield from _with_root(world, root, settled_by)\n",
        "        pass\n",
        REPLICAS,
    ),
    Mutant(
        "leaves VMs of a host that is back",
        "policy/site_alarms.py",
        "    return [*now, *(key for key in before if key not in is_kept)]",
        "    return now",
        STEPS,
    ),
    Mutant(
        "ends nothing that an earlier leader said",
        "policy/site.py",
        "            actions += self._take_over()",
        "            pass",
        STEPS,
    ),
    Mutant(
        "forgets to call a person",
        "policy/site.py",
        "                actions += self._page(record)",
        "                pass",
        STEPS,
    ),
    Mutant(
        "forgets whom it asked",
        "policy/site.py",
        "    record.ask_at = after(world.now, timing.witness_again_ms(record.asked, lives=lives))",
        "    record.ask_at = None",
        STEPS,
    ),
    Mutant(
        "keeps a settled host in mind when it is back",
        "policy/host_states.py",
        "    S.SETTLED: {\n        **_ANY,",
        "    S.SETTLED: {\n        **_ANY,\n        E.HEARD: S.SETTLED,",
        STEPS,
    ),
    Mutant(
        "reports each host of a rack by itself",
        "policy/site_losses.py",
        "    if not shared:\n        return []",
        "    if shared or not shared:\n        return []",
        STEPS,
    ),
)
