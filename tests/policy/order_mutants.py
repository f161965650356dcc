"""Starts by order, and copies that must end, broken on purpose."""

from tests.policy.mutant import Mutant

ORDERED = ("tests/policy/test_ordered.py",)

ORDER_MUTANTS = (
    Mutant(
        "takes an order that was refused",
        "policy/ordered.py",
        "    if generation <= record.outranked:",
        "    if False and generation <= record.outranked:",
        ORDERED,
    ),
    Mutant(
        "forgets what it refused",
        "policy/ordered.py",
        "    record.outranked = max(record.outranked, order.generation)",
        "    record.outranked = record.outranked",
        ORDERED,
    ),
    Mutant(
        "takes an order for an earlier boot",
        "policy/ordered.py",
        "    if tenure.boot != world.boot:",
        "    if False and tenure.boot != world.boot:",
        ORDERED,
    ),
    Mutant(
        "starts beside what runs already",
        "policy/ordered.py",
        "    if record.runs:",
        "    if False and record.runs:",
        ORDERED,
    ),
    Mutant(
        "starts by order without a look",
        "policy/ordered.py",
        "*recovery.prove(world, record)]",
        "]",
        ORDERED,
    ),
    Mutant(
        "takes an old end for a wish of today",
        "policy/decide.py",
        " and not record.is_ordered\n",
        "\n",
        ORDERED,
    ),
    Mutant(
        "starts what is outranked",
        "policy/promise.py",
        "    if tenure.generation <= record.outranked:",
        "    if False and tenure.generation <= record.outranked:",
        ORDERED,
    ),
    Mutant(
        "keeps the tenure of a copy",
        "policy/copies.py",
        "    record.protection, record.holder = None, order.holder",
        "    record.holder = order.holder",
        ORDERED,
    ),
    Mutant(
        "ends what is of our own tenure",
        "policy/copies.py",
        "    if held is not None and held.tenure.generation > order.generation:",
        "    if False and held is not None:",
        ORDERED,
    ),
    Mutant(
        "ends what runs by nobody's tenure",
        "policy/copies.py",
        "    if record.is_copy or held is None:",
        "    if held is None and not record.is_copy:\n"
        "        record.is_copy = True\n"
        "        return end(world, record) if record.runs else []\n"
        "    if record.is_copy:",
        ORDERED,
    ),
    Mutant(
        "starts a copy anew",
        "policy/recovery.py",
        "    if record.is_copy:\n        return stages.copy_gone(world, record)\n",
        "",
        ORDERED,
    ),
    Mutant(
        "lets a copy run that was on its way",
        "policy/service.py",
        "    if record.is_copy:",
        "    if False and record.is_copy:",
        ORDERED,
    ),
    Mutant(
        "holds a copy's end back while disarmed",
        "policy/holding.py",
        "    if record.is_copy:\n        return None",
        "    if False and record.is_copy:\n        return None",
        ORDERED,
    ),
    Mutant(
        "forgets that it died anew while another host held it",
        "policy/faults.py",
        "        record.life = life  # The newest of it here",
        "        pass  # The newest of it here",
        ("tests/policy/test_quiet_copies.py",),
    ),
    Mutant(
        "takes the second unexplained end of what was left for a failure",
        "policy/holding.py",
        "record.is_awaited, record.is_unexplained = False, True",
        "record.is_awaited = False",
        ("tests/policy/test_life_seen_late.py",),
    ),
    Mutant(
        "gives up ending a copy",
        "policy/recovery.py",
        "    if record.tries >= timing.END_TRIES and not record.is_copy:",
        "    if record.tries >= timing.END_TRIES:",
        ORDERED,
    ),
    Mutant(
        "lets QEMU write to disks that are another's",
        "policy/recovery.py",
        "        is_forced=record.is_copy and bool(record.holder),",
        "        is_forced=False,",
        ORDERED,
    ),
    Mutant(
        "lets a person settle a copy away",
        "policy/orders.py",
        " and not record.is_copy\n    return service.settled",
        "\n    return service.settled",
        ORDERED,
    ),
)
