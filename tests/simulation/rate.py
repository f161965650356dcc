"""Plays random sites on two cores, prints how many an hour holds, and names those that end badly.

python -m tests.simulation.rate [SEEDS] [FIRST]        (make swarm-rate)
"""

import logging
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.site_swarm import SiteSwarm

CORES = 2
AN_HOUR_S = 3_600
PROMISED = 10_000
AT_ONCE = 10


def play(seed: int) -> tuple[int, float, str]:
    """The seed, seconds of virtual time, and what went wrong, if anything."""
    swarm = SiteSwarm(seed)
    try:
        swarm.run()
    except AssertionError as failure:
        return seed, 0.0, str(failure).partition("\nafter this story")[0]
    return seed, swarm.stage.site.clock.now / 1e9, ""


def main() -> int:
    seeds, first = (int(word) for word in (*sys.argv[1:], "200", "0")[:2])
    began = time.monotonic()
    with ProcessPoolExecutor(CORES, initializer=logging.disable, initargs=(logging.ERROR,)) as pool:
        played = []
        for seed, virtual, failure in pool.map(
            play, range(first, first + seeds), chunksize=AT_ONCE
        ):
            played.append((virtual, failure))
            if failure:
                print(f"seed {seed} (make swarm SEED={seed}): {failure}", flush=True)
    took_s = time.monotonic() - began
    an_hour = round(seeds / took_s * AN_HOUR_S)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = (used.ru_utime + used.ru_stime) / seeds
    virtual_s = sum(virtual for virtual, _ in played)
    print(
        f"{seeds} random sites in {took_s:.0f} s on {CORES} cores: {an_hour:,} an hour"
        f" ({PROMISED:,} are promised); {virtual_s / 3_600:.1f} hours of virtual time"
    )
    free = round(CORES * AN_HOUR_S / cpu_s)
    print(f"{cpu_s:.2f} s of processor each: {free:,} an hour on {CORES} cores that are free")
    return any(failure for _, failure in played)


if __name__ == "__main__":
    sys.exit(main())
