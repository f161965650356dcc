"""A worker that listens to libvirt's events and proves, several times a second, that it answers.

It says `answered` when it is subscribed, and then the state of every VM, since what happened
before is not known; `silent` when libvirt leaves a question open; `gone` when it hung up.
"""

import contextlib
import re
import threading
import time
from typing import Any

import libvirt
import libvirt_qemu

from holdfast.adapters.drivers.child import Parent
from holdfast.adapters.drivers.libvirt_words import spoken_event, spoken_state

PROBE_S = 0.15
SILENT_S = 0.65
RETRY_S = 0.2
ALIVE_S = 1.0
_CHANNEL = re.compile(r"name='org\.qemu\.guest_agent\.0'(?: state='(\w+)')?")
_CLOSED = {0: "the connection broke", 1: "it closed the connection", 2: "it sent no keepalive"}


class Listener:
    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._uri = parent.args[0]
        self._answered = time.monotonic()
        self._asked: float | None = None  # Since when a question is open.
        self._is_silent = False
        self._has_said_gone = False
        self._closed = threading.Event()
        self._why_closed = ""

    def run(self) -> None:
        """For ever: connect, subscribe, probe; again when the connection broke."""
        while True:
            connection = None
            self._asked = time.monotonic()
            try:
                connection = libvirt.open(self._uri)
                self._serve(connection)
            except libvirt.libvirtError as error:
                # What hangs is not gone because we hung up; what refuses us is.
                if connection is None or not self._is_silent:
                    self._asked = None
                    self._say_gone(self._why_closed or error.get_error_message() or str(error))
            if connection is not None:
                with contextlib.suppress(libvirt.libvirtError):
                    connection.close()
            time.sleep(RETRY_S)

    def watch_silence(self) -> None:
        """For ever: say when a question stays open for too long, and that we ourselves live."""
        said_alive = 0.0
        while True:
            now = time.monotonic()
            asked = self._asked
            if now - said_alive >= ALIVE_S:
                said_alive = now
                self._say("alive")
            if asked is not None and now - asked >= SILENT_S and not self._is_silent:
                self._is_silent = True
                self._say("silent", since=int(self._answered * 1e9))
            # A question asked while we sleep is not too old when we wake.
            left = SILENT_S / 2 if asked is None or self._is_silent else asked + SILENT_S - now
            time.sleep(max(0.005, left))

    def _serve(self, connection: Any) -> None:
        """Until the connection breaks, which raises libvirtError."""
        self._closed.clear()
        self._why_closed = ""
        connection.registerCloseCallback(self._on_close, None)
        connection.setKeepAlive(1, 3)
        events = [
            (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle),
            (libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, self._on_agent),
        ]
        numbers = []
        qmp = None
        try:
            for event, heard in events:
                numbers.append(connection.domainEventRegisterAny(None, event, heard, None))
            qmp = libvirt_qemu.qemuMonitorEventRegister(
                connection, None, None, self._on_qmp, None, 0
            )
            self._settle(after="answered")
            self._tell_states(connection)
            while True:
                self._settle()
                if self._closed.wait(PROBE_S):
                    raise libvirt.libvirtError(self._why_closed)
                self._asked = time.monotonic()
                connection.getLibVersion()
                if self._is_silent:  # Events of meanwhile may be lost: subscribe anew.
                    self._settle()
                    return
        finally:
            _unsubscribe(connection, numbers, qmp)

    def _settle(self, after: str = "") -> None:
        """An answer came."""
        self._asked = None
        self._answered = time.monotonic()
        if after:
            self._is_silent = self._has_said_gone = False
            self._say(after)

    def _tell_states(self, connection: Any) -> None:
        self._asked = time.monotonic()
        for domain in connection.listAllDomains(0):
            with contextlib.suppress(libvirt.libvirtError):  # It was undefined meanwhile.
                state, reason = spoken_state(*domain.state(0))
                channel = _CHANNEL.search(domain.XMLDesc(0)) if domain.isActive() else None
                self._say("state", vm=domain.UUIDString(), state=state, reason=reason)
                if channel:
                    is_open = channel.group(1) == "connected"
                    self._say("agent", vm=domain.UUIDString(), connected=is_open)
            self._asked = time.monotonic()

    def _say_gone(self, reason: str) -> None:
        if not self._has_said_gone:
            self._has_said_gone = True
            self._say("gone", reason=reason)

    def _say(self, what: str, **more: Any) -> None:
        self._parent.send({"is": what, "at": time.monotonic_ns(), **more})

    def _on_close(self, _c: Any, reason: int, _o: Any) -> None:
        self._why_closed = _CLOSED.get(reason, f"closed ({reason})")
        if not self._is_silent:  # What is silent already is not gone because we hung up.
            self._asked = None
            self._say_gone(self._why_closed)
        self._closed.set()

    def _on_lifecycle(self, _c: Any, domain: Any, event: int, detail: int, _o: Any) -> None:
        name, word = spoken_event(event, detail)
        vm = domain.UUIDString()
        self._say("lifecycle", vm=vm, name=domain.name(), event=name, detail=word)

    def _on_qmp(
        self, _c: Any, domain: Any, event: str, _s: int, _us: int, data: Any, _o: Any
    ) -> None:
        self._say("qmp", vm=domain.UUIDString(), event=event, data=data or "{}")

    def _on_agent(self, _c: Any, domain: Any, state: int, _reason: int, _o: Any) -> None:
        self._say("agent", vm=domain.UUIDString(), connected=state == 1)


def _unsubscribe(connection: Any, numbers: list[int], qmp: int | None) -> None:
    """Else the connection, its socket too, would never be given back."""
    for number in numbers:
        with contextlib.suppress(libvirt.libvirtError):
            connection.domainEventDeregisterAny(number)
    if qmp is not None:
        with contextlib.suppress(libvirt.libvirtError):
            libvirt_qemu.qemuMonitorEventDeregister(connection, qmp)
    with contextlib.suppress(libvirt.libvirtError):
        connection.unregisterCloseCallback()


def main() -> None:
    libvirt.registerErrorHandler(lambda *_: None, None)
    libvirt.virEventRegisterDefaultImpl()
    parent = Parent()
    listener = Listener(parent)
    for work in (_keep_events, listener.watch_silence, listener.run):
        threading.Thread(target=work, daemon=True).start()
    parent.receive()


def _keep_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


if __name__ == "__main__":
    main()
