"""A fence agent whose host is a file beside it: well, or failing in the way that `how` names."""

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(sys.argv[0]).resolve().parent
OFF, ON = 2, 0


def main() -> int:
    with (FOLDER / "asked").open("a") as asked:
        print(*sys.argv[1:], sep=" ", file=asked)
    (FOLDER / "environment").write_text(repr(dict(os.environ)))
    if sys.argv[1:] == ["-o", "metadata"]:
        print((FOLDER / "metadata").read_text())
        return 0
    given = sys.stdin.read()
    with (FOLDER / "given").open("a") as kept:
        kept.write(given)
    pairs = dict(line.split("=", 1) for line in given.splitlines())
    how = (FOLDER / "how").read_text()
    if how in WAYS:
        return WAYS[how](pairs)
    return {"status": status, "off": off, "validate-all": validate}[pairs["action"]](how)


def validate(how: str) -> int:
    return complain("Failed: this is no valid choice") if how == "particular" else 0


def status(how: str) -> int:
    power = (FOLDER / "power").read_text()
    if how == "away":
        return complain("Connection timed out")
    if how == "no plug":
        return complain("Failed: Unable to obtain correct plug status or plug is not available")
    if how == "stranger":
        return complain("Failed: get: (Caused by SSLError([SSL] certificate verify failed: self))")
    if how == "slow" and (FOLDER / "since").exists():
        is_off = time.time() - float((FOLDER / "since").read_text()) > 1.3
        power = "off" if is_off else "on"
    if how == "code only" and power == "on":
        return OFF
    if how == "words only":
        print("Status: OFF")
        return ON
    if how == "two words":
        print("Status: OFF\nStatus: ON")
        return OFF
    if how == "half":
        print("Status: OF", end="")
        return OFF
    print(f"Status: {power.upper()}")
    return OFF if power == "off" else ON


def off(how: str) -> int:
    if how in {"away", "refused"}:
        return complain("Unable to connect/login to fencing device")
    if how == "slow":
        (FOLDER / "since").write_text(str(time.time()))
    if (FOLDER / "power").read_text() == "off":
        print("Success: Already OFF")
        return 0
    if how not in {"stuck", "slow", "code only"}:
        (FOLDER / "power").write_text("off")
    if how == "unsure":
        return complain("Failed: Timed out waiting to power OFF")
    print("Success: Powered OFF")
    return 0


def complain(words: str) -> int:
    print("/usr/sbin/fence_x:5: DeprecationWarning: 'pipes' is deprecated", file=sys.stderr)
    print("  from pipes import quote", file=sys.stderr)
    print(f"2026-11-30 09:34:11,455 ERROR: {words}\n", file=sys.stderr)
    print("2026-11-30 09:34:11,455 ERROR: Please use '-h' for usage\n", file=sys.stderr)
    return 1


def hang(pairs: dict[str, str]) -> int:
    """Leaves a child in another session, and neither wants to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    leave_child()
    warnings.warn("'pipes' is deprecated", DeprecationWarning, stacklevel=1)
    time.sleep(600)
    return 0


def end_in_order(pairs: dict[str, str]) -> int:
    """As some do when told to end: the code says that all went well."""

    def leave(*_: object) -> None:
        print("Status: OFF", flush=True)
        os._exit(OFF)

    signal.signal(signal.SIGTERM, leave)
    time.sleep(600)
    return 0


def holds_output(pairs: dict[str, str]) -> int:
    leave_child()
    return {"status": status, "off": off}[pairs["action"]]("")


def leave_child() -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with (FOLDER / "pids").open("a") as pids:
                print(os.getpid(), file=pids)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        os._exit(0)
    while not (FOLDER / "pids").exists():
        time.sleep(0.01)


def flood(pairs: dict[str, str]) -> int:
    while True:
        os.write(1, b"Status: OFF\n" * 1000)


def print_garbage(pairs: dict[str, str]) -> int:
    os.write(1, bytes(range(256)) * 20)
    os.write(2, bytes(range(1, 256)) * 20)
    return OFF


def echo(pairs: dict[str, str]) -> int:
    secret = pairs["password"]
    shown = secret.replace("'", "'\"'\"'")
    print(f"ERROR: ipmitool -P '{shown}' or {secret} failed for {pairs['ip']}", file=sys.stderr)
    return 1


def die(pairs: dict[str, str]) -> int:
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def is_killed_with_its_holder(pairs: dict[str, str]) -> int:
    """As when memory runs out on the controller's host."""
    os.kill(os.getppid(), signal.SIGKILL)
    return hang(pairs)


WAYS: dict[str, Callable[[dict[str, str]], int]] = {
    "hung": hang,
    "in order": end_in_order,
    "holds": holds_output,
    "flood": flood,
    "garbage": print_garbage,
    "echo": echo,
    "dies": die,
    "killed": is_killed_with_its_holder,
}

if __name__ == "__main__":
    sys.exit(main())
