"""A lab host's first process makes the host's own view of the machine, and reaps its dead.

Run as a program on the standard library alone: `host_init.py host NAME DISKS` or
`host_init.py wire`. It prints the number of the process that now holds the namespaces, and for a
host `ready` when libvirt answers, or the reason why not. Killing that process is a power cut.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000

# What a host keeps on its disks: these survive a power cut, /run does not.
DISK_FOLDERS = (
    "/etc/libvirt",
    "/etc/holdfast",
    "/var/lib/libvirt",
    "/var/log/libvirt",
    "/var/cache/libvirt",
    "/var/lib/holdfast",
)
# What a host does not share with the machine at all.
OWN_FOLDERS = ("proc", "run", "sys", "lost+found")
# virtlogd keeps the consoles; libvirtd says that it is up before its QEMU driver is.
START_LIBVIRT = (
    ("virtlogd", "--daemon"),
    ("libvirtd", "--daemon", "--listen"),
    ("virsh", "--connect", "qemu:///system", "uri"),
)
START_LIMIT_S = 60


def unshare(flags: int) -> None:
    """Leave the named namespaces (os.unshare came only with Python 3.12)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot make namespaces (are you root?): {os.strerror(number)}")


def command(*argv: str) -> None:
    """Run a command; its words are part of the error."""
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {(done.stderr or done.stdout).strip()}")


def mount_own_root(root: Path) -> None:
    """Make `/` a folder in memory that shows the machine's folders; `/core` is then our own."""
    command("mount", "--make-rprivate", "/")
    command("mount", "-t", "tmpfs", "-o", "mode=755", "root", str(root))
    for entry in Path("/").iterdir():
        place = root / entry.name
        if entry.is_symlink():
            place.symlink_to(entry.readlink())
        elif entry.is_dir():
            place.mkdir()
            if entry.name not in OWN_FOLDERS:
                command("mount", "--rbind", str(entry), str(place))
    command("mount", "-t", "proc", "proc", str(root / "proc"))
    command("mount", "-t", "tmpfs", "-o", "mode=755", "run", str(root / "run"))
    # A new /sys shows the host's own network devices; the cgroups are the machine's.
    command("mount", "-t", "sysfs", "sysfs", str(root / "sys"))
    command("mount", "--rbind", "/sys/fs/cgroup", str(root / "sys/fs/cgroup"))
    (root / "machine").mkdir()
    command("pivot_root", str(root), str(root / "machine"))
    os.chdir("/")
    command("umount", "--lazy", "/machine")
    Path("/machine").rmdir()


def mount_own_disks(disks: Path) -> None:
    """Cover what a host keeps with folders of its own; nothing leaks to the machine."""
    Path("/run/lock").mkdir()
    for folder in DISK_FOLDERS:
        own = disks / folder.lstrip("/")
        own.mkdir(parents=True, exist_ok=True)
        command("mount", "--bind", str(own), folder)
    Path("/var/log/libvirt/qemu").mkdir(exist_ok=True)


def run_host(name: str, disks: Path, report: int) -> None:
    """Be the first process of a host, for ever."""
    try:
        socket.sethostname(name)
        mount_own_root(disks / "root")
        mount_own_disks(disks)
        command("ip", "link", "set", "lo", "up")
        for step in START_LIBVIRT:
            command(*step)
        answer = "ready"
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        answer = str(error).replace("\n", " ")
    os.write(report, f"{answer}\n".encode())
    os.close(report)
    # Orphans come to the first process; it must be quick to reap them, as libvirt waits for it.
    # SIGCHLD is blocked, so that none is lost between reaping and waiting.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        try:
            os.wait()
        except ChildProcessError:
            signal.sigwait({signal.SIGCHLD})


def main() -> None:
    """Make the namespaces, say who holds them, and leave that process behind."""
    is_host = sys.argv[1] == "host"
    os.setsid()
    own = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID if is_host else 0
    unshare(CLONE_NEWNET | own)
    holder = os.fork()
    if holder:
        print(holder, flush=True)
        os._exit(0)
    report = os.dup(1)
    os.set_inheritable(report, False)
    nothing = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    if is_host:
        run_host(sys.argv[2], Path(sys.argv[3]), report)
    os.close(report)
    os.execvp("sleep", ["sleep", "infinity"])


if __name__ == "__main__":
    main()
