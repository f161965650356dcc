"""Plays random sites on two cores, prints how many an hour holds, and names those that end badly.

Their hosts have BMCs and their VMs are promised, so that hosts are fenced and VMs live elsewhere.

python -m tests.simulation.rate [SEEDS] [FIRST]        (make swarm-rate)
"""

import logging
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from holdfast.facts.instants import NS_PER_S
from tests.simulation.fence_swarm import FenceSwarm

CORES = 2
AN_HOUR_S = 3_600
PROMISED = 10_000
AT_ONCE = 10


@dataclass(frozen=True)
class Played:
    """How one random site went; `failure` is empty when it ended well."""

    seed: int
    virtual_s: float = 0.0
    fenced: int = 0
    recovered: int = 0
    failure: str = ""


def play(seed: int) -> Played:
    swarm = FenceSwarm(seed)
    try:
        swarm.run()
    except AssertionError as failure:
        return Played(seed, failure=str(failure).partition("\nafter this story")[0])
    fences, now = swarm.stage.fences, swarm.stage.site.clock.now
    return Played(seed, now / NS_PER_S, len(fences.switched_off), fences.starts_elsewhere)


def main() -> int:
    seeds, first = (int(word) for word in (*sys.argv[1:], "200", "0")[:2])
    began = time.monotonic()
    with ProcessPoolExecutor(CORES, initializer=logging.disable, initargs=(logging.ERROR,)) as pool:
        all_played = []
        for played in pool.map(play, range(first, first + seeds), chunksize=AT_ONCE):
            all_played.append(played)
            if played.failure:
                seed = played.seed
                print(f"seed {seed} (make swarm SEED={seed}): {played.failure}", flush=True)
    _tell(all_played, time.monotonic() - began)
    return any(one.failure for one in all_played)


def _tell(played: list[Played], took_s: float) -> None:
    seeds = len(played)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = (used.ru_utime + used.ru_stime) / seeds
    virtual_s = sum(one.virtual_s for one in played)
    fenced, recovered = sum(p.fenced for p in played), sum(p.recovered for p in played)
    print(
        f"{seeds} random sites in {took_s:.0f} s on {CORES} cores:"
        f" {round(seeds / took_s * AN_HOUR_S):,} an hour ({PROMISED:,} are promised);"
        f" {virtual_s / 3_600:.1f} hours of virtual time"
    )
    print(f"a host was switched off {fenced} times; {recovered} VMs were started elsewhere")
    free = round(CORES * AN_HOUR_S / cpu_s)
    print(f"{cpu_s:.2f} s of processor each: {free:,} an hour on {CORES} cores that are free")


if __name__ == "__main__":
    sys.exit(main())
