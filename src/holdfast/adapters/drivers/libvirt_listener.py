"""A worker that listens to libvirt's events and proves, twice a second, that libvirt answers."""

import threading
import time
from typing import Any

import libvirt
import libvirt_qemu

from holdfast.adapters.drivers.child import Parent
from holdfast.adapters.drivers.libvirt_words import spoken_event, spoken_state

PROBE_S = 0.5
SILENT_S = 0.7
RETRY_S = 0.2


class Listener:
    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._uri = parent.args[0]
        self._answered = time.monotonic()
        self._is_silent = False
        self._connection: Any = None

    def run(self) -> None:
        """For ever: connect, subscribe, probe; say when libvirt goes, hangs and returns."""
        threading.Thread(target=self._watch_silence, daemon=True).start()
        said_gone = False
        while True:
            self._answered = time.monotonic()
            try:
                self._connect()
            except libvirt.libvirtError as error:
                if not said_gone:
                    self._say(is_="gone", reason=error.get_error_message() or str(error))
                    said_gone = True
                time.sleep(RETRY_S)
                continue
            said_gone = False
            self._probe()
            self._is_silent = False

    def _connect(self) -> None:
        connection = libvirt.open(self._uri)
        connection.setKeepAlive(1, 3)
        connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle, None
        )
        connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, self._on_agent, None
        )
        libvirt_qemu.qemuMonitorEventRegister(connection, None, None, self._on_qmp, None, 0)
        self._connection = connection
        self._say(is_="answered")
        for domain in connection.listAllDomains(0):
            try:
                state, reason = spoken_state(*domain.state(0))
            except libvirt.libvirtError:
                continue
            self._say(is_="state", vm=domain.UUIDString(), state=state, reason=reason)

    def _probe(self) -> None:
        """Until the connection breaks."""
        while True:
            try:
                if not self._connection.isAlive():
                    raise libvirt.libvirtError("the connection broke")
                self._connection.getLibVersion()
            except libvirt.libvirtError:
                return
            self._answered = time.monotonic()
            if self._is_silent:
                self._is_silent = False
                self._say(is_="answered")
                return  # Connect anew: what was said meanwhile may be lost.
            time.sleep(PROBE_S)

    def _watch_silence(self) -> None:
        while True:
            time.sleep(0.1)
            if not self._is_silent and time.monotonic() - self._answered > PROBE_S + SILENT_S:
                self._is_silent = True
                self._say(is_="silent", since=int(self._answered * 1e9))

    def _say(self, **what: Any) -> None:
        what["is"] = what.pop("is_")
        self._parent.send({"at": time.monotonic_ns(), **what})

    def _on_lifecycle(self, _c: Any, domain: Any, event: int, detail: int, _o: Any) -> None:
        name, word = spoken_event(event, detail)
        self._say(is_="lifecycle", vm=domain.UUIDString(), event=name, detail=word)

    def _on_qmp(
        self, _c: Any, domain: Any, event: str, _s: int, _us: int, data: Any, _o: Any
    ) -> None:
        self._say(is_="qmp", vm=domain.UUIDString(), event=event, data=data or "{}")

    def _on_agent(self, _c: Any, domain: Any, state: int, _reason: int, _o: Any) -> None:
        self._say(is_="agent", vm=domain.UUIDString(), connected=state == 1)


def main() -> None:
    libvirt.registerErrorHandler(lambda *_: None, None)
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=_keep_events, daemon=True).start()
    parent = Parent()
    listener = Listener(parent)
    threading.Thread(target=listener.run, daemon=True).start()
    parent.receive()


def _keep_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


if __name__ == "__main__":
    main()
