"""Talks with a guest's agent through libvirt, in a process of its own that may be killed.

Run on a lab host: `guest_talk.py answer GUEST LIMIT_S` waits for the guest's first answer,
`guest_talk.py execute GUEST LIMIT_S ARGV...` runs a command in the guest to its end,
`guest_talk.py begin GUEST LIMIT_S ARGV...` starts one that may take the guest down.
Each prints one JSON object; times are CLOCK_MONOTONIC ns.
"""

import base64
import json
import sys
import time
from typing import Any

import libvirt
import libvirt_qemu

Answer = dict[str, Any]
RETRY_S = 0.02
# How long a command that may take the guest down is waited for, in seconds.
BEGIN_LIMIT_S = 2


def ask(domain: Any, limit_s: int, request: str, **arguments: Any) -> Answer:
    """Ask the agent one thing; raises libvirt.libvirtError without an answer in time."""
    text = json.dumps({"execute": request, "arguments": arguments})
    answer = json.loads(libvirt_qemu.qemuAgentCommand(domain, text, limit_s, 0))["return"]
    return answer if isinstance(answer, dict) else {}


def wait_answer(domain: Any, deadline: float) -> Answer:
    """Ask until the agent answers."""
    while True:
        try:
            ask(domain, 1, "guest-ping")
            return {"answered_ns": time.monotonic_ns()}
        except libvirt.libvirtError as error:
            if time.monotonic() > deadline:
                return {"error": f"no answer: {error}"}
            time.sleep(RETRY_S)


def start_program(domain: Any, limit_s: int, argv: list[str], output: bool) -> Answer:
    """Start a program in the guest."""
    words = {"path": argv[0], "arg": argv[1:], "capture-output": output}
    return ask(domain, limit_s, "guest-exec", **words)


def execute(domain: Any, deadline: float, argv: list[str]) -> Answer:
    """Run a program in the guest to its end; its standard error is joined to its output."""
    asked_ns = time.monotonic_ns()
    pid = start_program(domain, 5, argv, True)["pid"]
    while time.monotonic() < deadline:
        state = ask(domain, 5, "guest-exec-status", pid=pid)
        if state["exited"]:
            parts = [state.get("out-data", ""), state.get("err-data", "")]
            output = b"".join(base64.b64decode(part) for part in parts).decode(errors="replace")
            return {"asked_ns": asked_ns, "exit": state.get("exitcode", -1), "output": output}
        time.sleep(RETRY_S)
    return {"error": f"`{' '.join(argv)}` did not end in time"}


def begin(domain: Any, argv: list[str]) -> Answer:
    """Start a program that may take the guest, and so the agent's answer, away."""
    # The first question is for the connection's own start-up cost to be over.
    ask(domain, 5, "guest-ping")
    asked_ns = time.monotonic_ns()
    try:
        start_program(domain, BEGIN_LIMIT_S, argv, False)
    except libvirt.libvirtError as error:
        return {"asked_ns": asked_ns, "unanswered": str(error)}
    return {"asked_ns": asked_ns}


def main() -> None:
    """Do what the command line says and print the answer."""
    verb, guest, limit, argv = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4:]
    deadline = time.monotonic() + limit
    libvirt.registerErrorHandler(lambda *_: None, None)
    try:
        domain = libvirt.open("qemu:///system").lookupByName(guest)
        if verb == "answer":
            answer = wait_answer(domain, deadline)
        elif verb == "execute":
            answer = execute(domain, deadline, argv)
        else:
            answer = begin(domain, argv)
    except libvirt.libvirtError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
