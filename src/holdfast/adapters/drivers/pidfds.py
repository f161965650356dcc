"""A pidfd of a thread tells its end at once, with the exit status, whatever else still goes on.

Threads: PIDFD_THREAD, Linux 6.9. Exit status: PIDFD_GET_INFO, Linux 6.15. A process as a whole is
told dead only when its last thread has freed its memory.
"""

import ctypes
import fcntl
import os
import select
import struct
import threading
import time

_SYS_PIDFD_OPEN = 434  # The same on every architecture.
_PIDFD_THREAD = os.O_EXCL
_PIDFD_INFO_EXIT = 1 << 3
_INFO_SIZES = (64, 72, 80)  # struct pidfd_info of Linux 6.15, 6.16, 6.19.
_EXIT_CODE_AT = 60
_libc = ctypes.CDLL(None, use_errno=True)


def open_thread(tid: int) -> int:
    """A pidfd of one thread. Raises ProcessLookupError when it is gone, OSError (EINVAL) where
    the kernel has no pidfds of threads."""
    fd: int = _libc.syscall(_SYS_PIDFD_OPEN, tid, _PIDFD_THREAD)
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return fd


def has_ended(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def exit_status(fd: int) -> int | None:
    """The status as wait(2) gives it; None while it runs, for a first thread that nobody reaped,
    and where the kernel does not tell."""
    for size in _INFO_SIZES:
        info = bytearray(size)
        struct.pack_into("=Q", info, 0, _PIDFD_INFO_EXIT)
        request = (3 << 30) | (size << 16) | (0xFF << 8) | 11
        try:
            fcntl.ioctl(fd, request, info)
        except OSError:
            continue
        mask: int = struct.unpack_from("=Q", info, 0)[0]
        status: int = struct.unpack_from("=i", info, _EXIT_CODE_AT)[0]
        return status if mask & _PIDFD_INFO_EXIT else None
    return None


def probe_threads() -> bool:
    """Whether this kernel has pidfds of threads: tried on ourselves."""
    try:
        os.close(open_thread(os.getpid()))
    except OSError:
        return False
    return True


def probe_status() -> bool:
    """Whether this kernel tells a thread's exit status: tried on a thread that ends."""
    if not probe_threads():
        return False
    begun, may_end = threading.Event(), threading.Event()
    tids: list[int] = []

    def live() -> None:
        tids.append(threading.get_native_id())
        begun.set()
        may_end.wait(1.0)

    thread = threading.Thread(target=live)
    thread.start()
    begun.wait(1.0)
    fd = open_thread(tids[0])
    try:
        may_end.set()
        thread.join(1.0)
        deadline = time.monotonic() + 0.2
        while exit_status(fd) is None and time.monotonic() < deadline:
            time.sleep(0.001)
        return exit_status(fd) == 0
    finally:
        os.close(fd)
