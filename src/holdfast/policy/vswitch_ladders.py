"""The repair of the virtual switch: its flows, ports and links are put back as they were.

While one of its daemons is itself broken, all that it says waits for that. What somebody takes away
a second time is meant, and handed over.
"""

from holdfast.facts.mending import RepairLadder, RepairStep, Risk

DAEMON, DATABASE = "ovs-vswitchd", "ovsdb-server"
NEEDS = (DATABASE, DAEMON)
TOTAL_MS, VERIFY_MS = 30_000, 4_000
MARK = "vswitch"  # The end mark of all of it, in the folder of end marks.
# What the switch tells of itself and nothing mends by itself: it may come back with its cause.
TOLD_BY_IT = ("vswitch-interface-error", "bfd-down", "bond-member-lost")


def with_switch(
    others: tuple[RepairLadder, ...], marks: str, *, repair: bool, runs_an_hour: int
) -> tuple[RepairLadder, ...]:
    """The ladders of processes, and those of the switch: without `repair`, faults of it only wait
    for a daemon that is mended. `marks` is the folder of end marks."""
    if not repair and all(one.subject not in NEEDS for one in others):
        return others
    flows = _step("flows", "give it back the flows on record", "its flows are there", marks)
    ports = _step("ports", "make its ports anew as on record", "no port is missing", marks)
    links = _step("links", "switch on its uplinks", "an uplink has a carrier", marks)
    mended = {
        "vswitch-flows-lost": (flows, flows),
        "vswitch-port-missing": (ports, ports),
        "vswitch-uplink-lost": (links,),
    }
    steps = {condition: one if repair else () for condition, one in mended.items()}
    of_switch = (
        RepairLadder(
            condition=condition,
            steps=steps.get(condition, ()),
            total_ms=TOTAL_MS,
            runs_an_hour=runs_an_hour,
            needs=NEEDS,
        )
        for condition in (*mended, *TOLD_BY_IT)
    )
    return (*others, *of_switch)


def kept_by_switch(
    process: str, mender: str, args: tuple[str, ...]
) -> tuple[str, tuple[str, ...], str]:
    """Mender and arguments of a restart which may be of the switch's daemon, and what it adds."""
    if process == DAEMON:
        return "switch", ("restart", mender, *args), ", and give it its flows back"
    if process == DATABASE and mender == "unit":  # A restart would take the daemon along.
        return "switch", ("start", *args), ""
    return mender, args, ""


def _step(act: str, says: str, verified: str, marks: str) -> RepairStep:
    return RepairStep(
        name=act,
        says=says,
        mender="switch",
        args=(act, f"{marks}/{MARK}"),
        budget_ms=12_000,
        verify_ms=VERIFY_MS,
        verified=verified,
        risk=Risk.SERVICE,
    )
