"""Run inside a lab host by test_fencing.py: one call on the fencer, as its controller would."""

import asyncio
import json
import sys
import time

import msgspec

from holdfast.adapters.fencers.fence_agent import FenceAgent
from holdfast.facts.fencing import Fence, FenceDevice
from holdfast.ports.fencer import FenceFailed


async def call(what: str, device: FenceDevice, fence: Fence) -> dict[str, object]:
    fencer = FenceAgent()
    if what == "check":
        await fencer.check(device)
        return {}
    if what == "power":
        return {"power": str(await fencer.power(device))}
    proof = await fencer.switch_off(fence, device)
    return {"proof": msgspec.to_builtins(proof)}


def main() -> None:
    what, given = sys.argv[1], json.load(sys.stdin)
    device = msgspec.convert(given["device"], FenceDevice)
    fence = msgspec.convert(given["fence"], Fence)
    began = time.monotonic()
    try:
        told = asyncio.run(call(what, device, fence))
    except FenceFailed as failure:
        told = {"failure": str(failure)}
    print(json.dumps({**told, "took_s": time.monotonic() - began}))


if __name__ == "__main__":
    main()
