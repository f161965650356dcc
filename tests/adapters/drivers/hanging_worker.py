"""A worker for tests: it echoes, hangs for as long as it is told to, or ends."""

import os
import threading
import time
from typing import Any

from holdfast.adapters.drivers.child import Parent


def main() -> None:
    parent = Parent()
    if parent.args[0] == "broken":
        os._exit(1)

    def work(message: dict[str, Any]) -> None:
        if message["call"] == "exit":
            os._exit(0)
        time.sleep(message["args"].get("hangs_s", 0))
        if message["call"] == "refuse":
            parent.send({"id": message["id"], "error": "no", "final": True})
        else:
            parent.send({"id": message["id"], "data": os.getpid()})

    while True:
        threading.Thread(target=work, args=(parent.receive(),), daemon=True).start()


if __name__ == "__main__":
    main()
