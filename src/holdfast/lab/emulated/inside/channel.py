"""Runs in an emulated host: carries out what the lab asks for through a virtio port.

Each line is one JSON object: {"id", "argv", "stdin", "limit_s", "env"} is answered with {"id",
"code", "out", "err"}; with "is_left" the program goes on in a session of its own, its words go to
"log", and the answer has its "pid". The standard library alone.
"""

import glob
import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

PORT = "holdfast.channel"


def find_port(name: str) -> str:
    for _ in range(500):
        for path in glob.glob("/sys/class/virtio-ports/*/name"):
            with open(path) as file:
                if file.read().strip() == name:
                    return "/dev/" + path.split("/")[-2]
        time.sleep(0.02)
    sys.exit("no port " + name)


def carry_out(asked: dict[str, Any]) -> dict[str, Any]:
    env = {**os.environ, **asked.get("env", {})}
    try:
        if asked.get("is_left"):
            with open(asked["log"], "ab") as log:
                left = subprocess.Popen(
                    asked["argv"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=env,
                    start_new_session=True,
                )
            threading.Thread(target=left.wait, daemon=True).start()
            return {"code": 0, "pid": left.pid}
        done = subprocess.run(
            asked["argv"],
            check=False,
            input=asked.get("stdin", ""),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=asked["limit_s"],
            env=env,
        )
        return {"code": done.returncode, "out": done.stdout, "err": done.stderr}
    except (OSError, subprocess.SubprocessError) as error:
        return {"code": -1, "out": "", "err": repr(error)}


def main() -> None:
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    os.environ["HOME"] = "/root"
    with open(find_port(PORT), "r+b", buffering=0) as port:
        lock = threading.Lock()

        def say(what: dict[str, Any]) -> None:
            line = json.dumps(what).encode() + b"\n"
            with lock:
                while line:
                    line = line[port.write(line) :]

        def answer(asked: dict[str, Any]) -> None:
            say({"id": asked["id"], **carry_out(asked)})

        say({"id": 0, "code": 0, "out": os.uname().release, "err": ""})
        rest = b""
        while True:
            read = port.read(65536)
            if not read:  # Nobody listens on the other side, or not yet.
                time.sleep(0.02)
                continue
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                threading.Thread(target=answer, args=(json.loads(line),), daemon=True).start()


if __name__ == "__main__":
    main()
