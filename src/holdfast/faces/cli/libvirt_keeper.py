"""Keeps the libvirt that `holdfast up` started: reaps what its VMs leave, as an init would.

libvirt waits until a QEMU that it ended is reaped. Where the first process of a machine (of a
container, say) reaps late or never, each such wait takes libvirt 40 s. Run as a program of its
own: the words are the daemons to start, in their order.
"""

import ctypes
import os
import signal
import subprocess
import sys
from types import FrameType

_PR_SET_CHILD_SUBREAPER = 36


def main(daemons: list[str]) -> None:
    """Return when told to end, and the daemons have, or when nothing is left to reap."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    started = [subprocess.Popen([daemon], start_new_session=True).pid for daemon in daemons]
    is_ending = False

    def end(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_ending
        is_ending = True
        for pid in reversed(started):
            os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while started or not is_ending:
        try:
            ended, _ = os.wait()
        except ChildProcessError:
            return
        if ended in started:
            started.remove(ended)


if __name__ == "__main__":
    main(sys.argv[1:])
