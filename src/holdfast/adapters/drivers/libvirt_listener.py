"""A worker that listens to libvirt's events and proves, several times a second, that it answers.

It says `answered` when it is subscribed, and then the state of every VM, since what happened
before is not known; `silent` when libvirt leaves a question open; `gone` when it hung up or ended,
`orderly` if somebody stopped it: then it is about to be started again, as a rule.
"""

import contextlib
import re
import threading
import time
from typing import Any

import libvirt
import libvirt_qemu

from holdfast.adapters.drivers.child import Parent
from holdfast.adapters.drivers.libvirt_daemon import find_daemon
from holdfast.adapters.drivers.libvirt_words import spoken_event, spoken_state
from holdfast.adapters.drivers.one_process import Daemon
from holdfast.adapters.drivers.patience import STOPPED_S, Patience
from holdfast.facts.exits import spoken_exit

PROBE_S = 0.15
RETRY_S = 0.2
ALIVE_S = 1.0
END_S = 0.02  # A killed process closes its sockets right before it is seen to end.
_CHANNEL = re.compile(r"name='org\.qemu\.guest_agent\.0'(?: state='(\w+)')?")
_EOF = 1
_CLOSED = {0: "the connection broke", _EOF: "it closed the connection", 2: "it sent no keepalive"}


class Listener:
    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._uri = parent.args[0]
        self._answered = time.monotonic()
        self._asked: float | None = None  # Since when a question is open.
        self._is_silent = False
        self._saying = threading.Lock()  # Several threads learn that libvirt is gone.
        self._has_said_gone = False
        self._was_orderly = False
        self._daemon: Daemon | None = None
        self._closed = threading.Event()
        self._why_closed = ""

    def run(self) -> None:
        """For ever: connect, subscribe, probe; again when the connection broke."""
        while True:
            connection = None
            self._find_daemon()
            self._asked = time.monotonic()
            try:
                connection = libvirt.open(self._uri)
                self._serve(connection)
            except libvirt.libvirtError as error:
                # What hangs is not gone because we hung up; what refuses us is.
                if connection is None or not self._is_silent:
                    self._asked = None
                    reason = self._why_closed or error.get_error_message() or str(error)
                    self._say_gone(self._daemon, reason, hung_up=connection is not None)
            if connection is not None:
                with contextlib.suppress(libvirt.libvirtError):
                    connection.close()
            time.sleep(RETRY_S)

    def watch_silence(self) -> None:
        """For ever: say when a question stays open for too long, and that we ourselves live."""
        said_alive = due = 0.0
        patience: Patience | None = None
        while True:
            now = time.monotonic()
            asked = self._asked
            if now - said_alive >= ALIVE_S:
                said_alive = now
                self._say("alive")
            wait_s = STOPPED_S  # A question asked while we sleep is not too old when we wake.
            if asked is None or self._is_silent:
                patience = None
            else:
                late_s = now - due if patience and patience.asked_s == asked else 0.0
                if patience is None or patience.asked_s != asked:
                    patience = Patience(asked)
                self._judge(patience, now, late_s)
                wait_s = patience.next_look_s(now)
            due = time.monotonic() + wait_s
            time.sleep(wait_s)

    def _judge(self, patience: Patience, now: float, late_s: float) -> None:
        daemon = self._daemon
        is_old = daemon is not None and patience.open_s(now) >= STOPPED_S
        doing = daemon.look() if daemon is not None and is_old else None
        why = patience.judge(now, doing, late_s)
        if why is not None and patience.asked_s == self._asked:
            self._is_silent = True
            self._say("silent", since=int(self._answered * 1e9), why=why)

    def _find_daemon(self, *, is_connected: bool = False) -> None:
        """Before we connect, since that may hang; and after, when the one that answers is known."""
        found, known = find_daemon(self._uri), self._daemon
        if found is not None and known is not None and found.is_same(known):
            found.close()
        elif found is not None or is_connected:
            self._daemon = found
            if found is not None:
                threading.Thread(target=self._watch_end, args=[found], daemon=True).start()

    def _watch_end(self, daemon: Daemon) -> None:
        """Until the daemon ends, which is said at once, also while it is silent."""
        daemon.wait_ended()
        if daemon is self._daemon:
            self._say_gone(daemon, self._why_closed)

    def _serve(self, connection: Any) -> None:
        """Until the connection breaks, which raises libvirtError."""
        self._closed.clear()
        self._why_closed = ""
        self._find_daemon(is_connected=True)
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
            with self._saying:
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

    def _say_gone(self, daemon: Daemon | None, reason: str, *, hung_up: bool = False) -> None:
        """Once, and once more if what seemed to be stopped in order turns out to have died."""
        has_ended = daemon is not None and daemon.wait_ended(END_S)
        if daemon is None or not has_ended:
            # Who hangs up and lives on is about to end as it was told to.
            is_orderly = daemon is not None and hung_up
        else:
            status = daemon.exit_status()
            is_orderly = status == 0
            how = (
                "ended" if status is None else "was stopped" if is_orderly else spoken_exit(status)
            )
            reason = f"its process {daemon.pid} {how}"
        with self._saying:
            if self._has_said_gone and not (self._was_orderly and has_ended and not is_orderly):
                return
            self._has_said_gone, self._was_orderly = True, is_orderly
        self._say("gone", reason=reason, orderly=is_orderly)

    def _say(self, what: str, **more: Any) -> None:
        self._parent.send({"is": what, "at": time.monotonic_ns(), **more})

    def _on_close(self, _c: Any, reason: int, _o: Any) -> None:
        self._why_closed = _CLOSED.get(reason, f"closed ({reason})")
        if not self._is_silent:  # What is silent already is not gone because we hung up.
            self._asked = None
            self._say_gone(self._daemon, self._why_closed, hung_up=reason == _EOF)
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
