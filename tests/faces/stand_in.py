"""Stands in for the programs of `up`: run with `up` it is that, else the program it is named for.

`stand_in.py RUN_DIR up`, `stand_in.py RUN_DIR [--config FILE] controller|agent`.
"""

import signal
import sys
import threading
from pathlib import Path

from msgspec import to_builtins

from holdfast.faces.cli.children import Children
from holdfast.faces.cli.settings import Site
from holdfast.faces.cli.showing import say
from holdfast.faces.cli.up import run_up
from tests.faces import examples as known
from tests.faces.programs_that_answer import answering


def main() -> None:
    """Do what the words say, until told to end."""
    run_dir, name = Path(sys.argv[1]), sys.argv[-1]
    if name == "up":
        program = (sys.executable, "-m", "tests.faces.stand_in", str(run_dir))
        run_up(Site(sys.argv[2]), Children(say, program=program), has_sample=False)
        return
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, lambda *_: ended.set())
    vms = to_builtins([known.WEB_1, known.SPARE])
    table = {"status": {}, "vms": vms, "incidents": to_builtins([known.CLOSED])}
    for left in (f"{name}.sock", "api.sock" if name == "controller" else ""):
        (run_dir / left).unlink(missing_ok=True) if left else None  # Of one that was killed.
    if name == "controller":
        table["alarms"] = [to_builtins(known.RAISED)]
    with answering(run_dir, name, table):
        print(f"{name} pid {threading.get_native_id()}", flush=True)
        ended.wait(60)


if __name__ == "__main__":
    main()
