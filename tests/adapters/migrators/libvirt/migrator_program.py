"""Run inside a lab host by test_libvirt.py: the real migrator of that host, asked by lines of JSON.

`migrator_program.py TLS_DIR RUN_DIR PORT`. Each line has an id, a call and its arguments; what it
gave, or why it failed, comes back with the id. It ends when nobody asks any more.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from holdfast.adapters.migrators.libvirt import LibvirtMigrator
from holdfast.ports.hypervisor import CallFailed
from holdfast.ports.migrator import Place

URI = "qemu:///system"


async def answer(migrator: LibvirtMigrator, asked: dict[str, Any]) -> None:
    args = dict(asked["args"])
    if "place" in args:
        args["place"] = msgspec.convert(args["place"], Place)
    said: dict[str, Any] = {"id": asked["id"]}
    try:
        said["gave"] = msgspec.to_builtins(await getattr(migrator, asked["call"])(**args))
    except CallFailed as failure:
        said["failed"] = str(failure)
    print(json.dumps(said), flush=True)


async def serve(tls_dir: str, run_dir: str, port: str) -> None:
    migrator = LibvirtMigrator(URI, tls_dir=tls_dir, run_dir=Path(run_dir), port=int(port))
    answers = set[asyncio.Task[None]]()
    while line := await asyncio.to_thread(sys.stdin.readline):
        task = asyncio.ensure_future(answer(migrator, json.loads(line)))
        answers.add(task)
        task.add_done_callback(answers.discard)
    await migrator.close()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
