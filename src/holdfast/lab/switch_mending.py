"""One act of mending done to the virtual switch of the host that it runs on.

`python -m holdfast.lab.switch_mending RECORD ACT [WORD...]`, where ACT is a method of ports.switch
and RECORD where it keeps what the switch was. It says what was done, or `not mended:` and why.
With `after_death mended|plain PIDFILE COMMAND...` it says `waits`, and when that process dies it
restarts it: as an agent that guards it would, or by the command alone.
"""

import asyncio
import os
import sys
from pathlib import Path

from holdfast.adapters.drivers.ovs_tools import run_tool
from holdfast.adapters.switches.open_vswitch import OpenVswitchMender
from holdfast.ports.switch import NotMended


async def mend(record: Path, act: str, words: list[str]) -> str:
    """Raises NotMended, OSError."""
    mender = OpenVswitchMender(record)
    if act == "record":
        await mender.record()
        return f"{len(mender.kept.bridges)} bridges are on record"
    if act == "restart":
        return await mender.restart(lambda: run_tool(words))
    if act == "after_death":
        how, pid_file, *command = words
        await mender.record()
        await death_of(int(Path(pid_file).read_text()))
        if how == "mended":
            return await mender.restart(lambda: run_tool(command))
        return await run_tool(command)
    acts = {
        "restore_flows": mender.restore_flows,
        "rebuild_port": mender.rebuild_port,
        "raise_link": mender.raise_link,
    }
    return await acts[act](words[0])


async def death_of(pid: int) -> None:
    """Say `waits`, and return when the process is dead."""
    loop, died = asyncio.get_running_loop(), asyncio.Event()
    fd = os.pidfd_open(pid)
    loop.add_reader(fd, died.set)
    print("waits", flush=True)
    try:
        await died.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)


def main() -> None:
    """Ends with 1 where it was not mended."""
    try:
        print(asyncio.run(mend(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])))
    except (NotMended, OSError) as trouble:
        print(f"not mended: {trouble}")
        sys.exit(1)


if __name__ == "__main__":
    main()
