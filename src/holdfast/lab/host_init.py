"""A lab host's first process makes the host's own view of the machine, and reaps its dead.

Run as a program on the standard library alone: `host_init.py host NAME DISKS`,
`host_init.py systemd-host NAME DISKS` or `host_init.py wire`. It prints the number of the process
that now holds the namespaces, and for a host `ready` when libvirt answers and its services were
started, or the reason why not. Killing that process is a power cut; a signal shuts it down.
"""

import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP = 0x20000000, 0x40000000, 0x02000000

# What a host keeps on its disks: these survive a power cut, /run does not.
DISK_FOLDERS = (
    "/etc/libvirt",
    "/etc/holdfast",
    "/etc/init.d",
    "/etc/default",
    *(f"/etc/rc{level}.d" for level in "0123456S"),
    "/var/lib/libvirt",
    "/var/log/libvirt",
    "/var/cache/libvirt",
    "/var/lib/holdfast",
    "/var/log/holdfast",
    "/var/lib/etcd",
    "/etc/openvswitch",
    "/var/log/openvswitch",
)
# Beside them on the disks; it covers /etc/hosts.
HOSTS_FILE = "etc/hosts"
INIT_FOLDER = Path("/etc/init.d")
INIT_LOG = Path("/run/init.log")
# The machine's, which a host sees and uses; what it writes or removes there is its own affair.
SEEN_FOLDER = Path("/var/cache/holdfast")
# What a host does not share with the machine at all.
OWN_FOLDERS = ("proc", "run", "sys", "lost+found")
# virtlogd keeps the consoles; libvirtd says that it is up before its QEMU driver is.
START_LIBVIRT = (
    ("virtlogd", "--daemon"),
    ("libvirtd", "--daemon", "--listen"),
    ("virsh", "--connect", "qemu:///system", "uri"),
)
START_LIMIT_S = 60
PLUG_LIMIT_S = 30.0
STOP_LIMIT_S = 10.0
# What holds the host's addresses, and the kernel's words for asking whether each is usable.
DEVICES = (b"br0", b"eth1")
SIOCGIFFLAGS, SIOCGIFADDR, IFF_RUNNING = 0x8913, 0x8915, 0x40

SYSTEMD = "/lib/systemd/systemd"
STOCK_UNITS = Path("/lib/systemd/system")
LAB_UNITS = Path("/run/lab-units")
# Of the distribution's units a host gets these alone: others would clean the machine's /tmp, set
# its clock, or start its services once more.
UNITS = """
basic sysinit multi-user local-fs local-fs-pre swap paths slices sockets timers network network-pre
network-online remote-fs time-sync shutdown umount final poweroff reboot halt exit
""".split()
SERVICES = (
    *("libvirtd", "virtlogd", "virtlockd"),
    *("systemd-journald", "systemd-poweroff", "systemd-reboot"),
)
SOCKETS = """
libvirtd libvirtd-ro libvirtd-admin virtlogd virtlogd-admin virtlockd virtlockd-admin
systemd-journald systemd-journald-dev-log
""".split()
SYSTEMD_SETTINGS = {
    "system.conf": "[Manager]\nShowStatus=no\n",
    "journald.conf": "[Journal]\nStorage=volatile\nReadKMsg=no\n",
}
SYSTEMD_ENVIRONMENT = {
    "container": "holdfast-lab",  # Without this word systemd takes the kernel for its own.
    "SYSTEMD_UNIT_PATH": f"/etc/systemd/system:/run/systemd/system:{LAB_UNITS}",
    "SYSTEMD_GENERATOR_PATH": "/nonexistent",
    "SYSTEMD_ENVIRONMENT_GENERATOR_PATH": "/nonexistent",
}
UP = ("running", "degraded")
# Here it makes the private folders of services, and a power cut leaves them behind.
TEMPORARY = (Path("/tmp"), Path("/var/tmp"))


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


def mount_own_root(root: Path, *, has_systemd: bool) -> None:
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
    # A new /sys shows the host's own network devices; the cgroups are the machine's, or with
    # systemd those below its own.
    command("mount", "-t", "sysfs", "sysfs", str(root / "sys"))
    if has_systemd:
        command("mount", "-t", "cgroup2", "cgroup2", str(root / "sys/fs/cgroup"))
    else:
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
    command("mount", "--bind", str(disks / HOSTS_FILE), "/etc/hosts")
    cover_seen_folder(SEEN_FOLDER)
    Path("/var/log/libvirt/qemu").mkdir(exist_ok=True)


def cover_seen_folder(folder: Path) -> None:
    """Lay a layer of the host's own over a folder of the machine, in memory."""
    if not folder.is_dir() or not has_overlay():
        return
    layer = Path("/run/lab-layer") / folder.name / folder.parent.name
    upper, work = layer / "upper", layer / "work"
    for each in (upper, work):
        each.mkdir(parents=True)
    options = f"lowerdir={folder},upperdir={upper},workdir={work}"
    command("mount", "-t", "overlay", "-o", options, "overlay", str(folder))


def has_overlay() -> bool:
    """Whether one folder can be laid over another here."""
    return "\toverlay\n" in Path("/proc/filesystems").read_text()


def wait_plugged() -> None:
    """Wait for the addresses that the lab gives; who is started then finds the network."""
    deadline = time.monotonic() + PLUG_LIMIT_S
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        while not all(is_usable(door, device) for device in DEVICES):
            if time.monotonic() > deadline:
                raise RuntimeError("the lab did not plug this host in")
            time.sleep(0.01)


def is_usable(door: socket.socket, device: bytes) -> bool:
    """Tell whether a network device has a carrier and an address."""
    request = struct.pack("256s", device)
    try:
        (flags,) = struct.unpack_from("H", fcntl.ioctl(door, SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(door, SIOCGIFADDR, request)
    except OSError:
        return False
    return bool(flags & IFF_RUNNING)


def run_init_scripts(verb: str, level: str) -> None:
    """Do to all of /etc/init.d what an init does; what they say is in /run/init.log."""
    environment = {**os.environ, "RUNLEVEL": level, "PREVLEVEL": "N" if level == "2" else "2"}
    scripts = sorted(each for each in INIT_FOLDER.iterdir() if os.access(each, os.X_OK))
    for script in scripts if verb == "start" else reversed(scripts):
        with INIT_LOG.open("ab") as log:
            log.write(f"{script.name} {verb}\n".encode())
            log.flush()
            try:
                done = subprocess.run(
                    [str(script), verb],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    timeout=START_LIMIT_S,
                    check=False,
                )
                log.write(f"{script.name} {verb}: {done.returncode}\n".encode())
            except (OSError, subprocess.SubprocessError) as error:
                log.write(f"{script.name} {verb}: {error}\n".encode())


def reap() -> None:
    """Bury every child that has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def count_living() -> int:
    """Processes of this host but the first, without those that only wait to be reaped."""
    living = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != "1":
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            living += stat.rpartition(")")[2].split()[0] not in "ZX"
    return living


def shut_down() -> None:
    """Stop what was started, ask all to end, kill what does not, and lose the power."""
    run_init_scripts("stop", "0")
    try:
        os.kill(-1, signal.SIGTERM)
    except ProcessLookupError:
        os._exit(0)
    deadline = time.monotonic() + STOP_LIMIT_S
    while count_living() and time.monotonic() < deadline:
        reap()
        time.sleep(0.02)
    os._exit(0)  # The kernel kills what is left with us.


def systemd_cgroups() -> Path:
    """Where the machine has its cgroups of version 2: beside those of version 1, or alone."""
    beside = Path("/sys/fs/cgroup/unified")
    return beside if beside.is_dir() else beside.parent


def enter_own_cgroup(name: str) -> None:
    """Systemd keeps its services apart in cgroups below the one in which it was started."""
    lab = os.environ.get("HOLDFAST_LAB", "")
    group = systemd_cgroups() / f"holdfast-lab-{lab}-{name}-systemd"
    group.mkdir(exist_ok=True)
    (group / "cgroup.procs").write_text(str(os.getpid()))


def mount_own_systemd(name: str, disks: Path) -> None:
    """Cover what systemd reads and writes; of the machine it may set nothing."""
    settings = disks / "etc/systemd"
    (settings / "system").mkdir(parents=True, exist_ok=True)
    for file, text in SYSTEMD_SETTINGS.items():
        (settings / file).write_text(text)
    (disks / "etc/hostname").write_text(f"{name}\n")
    if not (disks / "etc/machine-id").exists():
        (disks / "etc/machine-id").write_text(f"{os.urandom(16).hex()}\n")
    for own in ("systemd", "hostname", "machine-id"):
        command("mount", "--bind", str(disks / "etc" / own), f"/etc/{own}")
    for folder in TEMPORARY:
        cover_seen_folder(folder)
    command("mount", "--bind", "/dev/null", "/dev/console")
    command("mount", "--bind", "/proc/sys", "/proc/sys")
    command("mount", "-o", "remount,bind,ro", "/proc/sys")


def choose_units() -> None:
    """Make the folder of units from which the host boots, beside those that are written there."""
    sockets = [f"{name}.socket" for name in SOCKETS]
    for folder, units in (
        ("", [*(f"{name}.target" for name in UNITS), *(f"{name}.service" for name in SERVICES)]),
        ("", sockets),
        ("sockets.target.wants", sockets),
        ("sysinit.target.wants", ["systemd-journald.service"]),
        ("multi-user.target.wants", ["libvirtd.service"]),
    ):
        (LAB_UNITS / folder).mkdir(exist_ok=True)
        for unit in units:
            (LAB_UNITS / folder / unit).symlink_to(STOCK_UNITS / unit)


def wait_services() -> None:
    """Wait until systemd has started all, and libvirt answers."""
    ask = ("systemctl", "is-system-running")
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        done = subprocess.run(ask, capture_output=True, text=True, timeout=10, check=False)
        if done.stdout.strip() in UP:
            return command(*START_LIBVIRT[-1])
        if time.monotonic() > deadline:
            raise RuntimeError(f"systemd is not up: {done.stdout.strip() or done.stderr.strip()}")
        time.sleep(0.1)


def answer_of(*steps: Callable[[], None]) -> str:
    """Take these steps; `ready`, or in one line why one of them failed."""
    try:
        for step in steps:
            step()
        return "ready"
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        return str(error).replace("\n", " ")


def make_view(name: str, disks: Path, *, has_systemd: bool) -> None:
    """The host's own view of the machine; nothing runs in it yet."""
    socket.sethostname(name)
    mount_own_root(disks / "root", has_systemd=has_systemd)
    mount_own_disks(disks)
    if has_systemd:
        mount_own_systemd(name, disks)
        choose_units()
    command("ip", "link", "set", "lo", "up")


def run_systemd_host(name: str, disks: Path, report: int) -> None:
    """Make a host's view of the machine, and leave its first process to systemd."""
    answer = answer_of(lambda: make_view(name, disks, has_systemd=True), wait_plugged)
    # Who waits for the services and says so is a child: the first process is systemd's.
    if answer != "ready" or os.fork() == 0:
        answer = answer_of(wait_services) if answer == "ready" else answer
        os.write(report, f"{answer}\n".encode())
        os._exit(0)
    environment = {**os.environ, **SYSTEMD_ENVIRONMENT}
    os.execve(SYSTEMD, [SYSTEMD, "--system", "--unit=multi-user.target"], environment)


def start_libvirt() -> None:
    for step in START_LIBVIRT:
        command(*step)


def run_host(name: str, disks: Path, report: int) -> None:
    """Be the first process of a host, for ever."""
    answer = answer_of(
        lambda: make_view(name, disks, has_systemd=False),
        start_libvirt,
        wait_plugged,
        lambda: run_init_scripts("start", "2"),
    )
    # Blocked, so that none is lost between reaping and waiting.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
    os.write(report, f"{answer}\n".encode())
    os.close(report)
    # Orphans come to the first process; it must be quick to reap them, as libvirt waits for it.
    while True:
        reap()
        if signal.sigwait({signal.SIGCHLD, signal.SIGTERM}) == signal.SIGTERM:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD, signal.SIGTERM})
            shut_down()


def main() -> None:
    """Make the namespaces, say who holds them, and leave that process behind."""
    kind = sys.argv[1]
    os.setsid()
    own = CLONE_NEWNET
    if kind != "wire":
        own |= CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID
    if kind == "systemd-host":
        enter_own_cgroup(sys.argv[2])
        own |= CLONE_NEWCGROUP
    unshare(own)
    holder = os.fork()
    if holder:
        print(holder, flush=True)
        os._exit(0)
    report = os.dup(1)
    os.set_inheritable(report, False)
    nothing = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    if kind == "systemd-host":
        run_systemd_host(sys.argv[2], Path(sys.argv[3]), report)
    if kind == "host":
        run_host(sys.argv[2], Path(sys.argv[3]), report)
    os.close(report)
    os.execvp("sleep", ["sleep", "infinity"])


if __name__ == "__main__":
    main()
