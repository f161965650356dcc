"""Say as JSON lines what the sensors of networks see on the host that it runs on."""

import asyncio
import sys
from pathlib import Path

import msgspec

from holdfast.agent.switches import Switches
from holdfast.facts.observations import Observation


def see(seen: Observation) -> None:
    """One line each, and at once."""
    sys.stdout.buffer.write(msgspec.json.encode(seen) + b"\n")
    sys.stdout.buffer.flush()


async def main() -> None:
    """Until it is killed."""
    await asyncio.gather(
        *(sensor.run(see) for sensor in Switches(Path("/run"), "boot", has_canaries=True).sensors)
    )


if __name__ == "__main__":
    asyncio.run(main())
