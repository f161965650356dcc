"""What one life's witnesses said, and what follows from it, in whatever order they spoke."""

from typing import Any

from msgspec import Struct, field

from holdfast.facts.exits import signal_name, spoken_exit
from holdfast.facts.instants import Instant, elapsed_ms
from holdfast.facts.observations import QemuLogRead, VmFoundGone
from holdfast.facts.subjects import Incarnation
from holdfast.facts.verdicts import Certainty

GONE, OUTSIDE, UNEXPLAINED = "vm-gone", "vm-ended-outside", "vm-stopped-unexplained"

WANTED_WORDS = {  # libvirt's word for it, and what it means
    "migrated": "it was migrated away",
    "saved": "it was saved to a file",
    "from_snapshot": "it was reverted to a snapshot",
    "destroyed": "an operator destroyed it",
}
FAILED_WORDS = {
    "crashed": "libvirt says that QEMU crashed",
    "failed": "libvirt says that QEMU failed",
    "daemon": "libvirt could not take it over again and killed it",
    "host_error": "QEMU ended after an error of its own",
}
KNOWN_WORDS = {*WANTED_WORDS, *FAILED_WORDS, "shutdown"}
OUTSIDE_REASONS = {  # QMP SHUTDOWN's reasons that are neither the guest's nor libvirt's
    "host-signal": "a signal ended it that libvirt did not send",
    "host-qmp-quit": "it was told through its monitor to quit",
    "host-ui": "it was closed at its display",
}
# The guest that asks to reboot a VM whose definition says to end it then, is obeyed as well.
GUEST_REASONS = {"guest-shutdown", "guest-reset"}
SIGNAL_BITS = 0x7F  # Of a status as wait(2) gives it.
SIGNAL_LINE = "terminating on signal "  # QEMU's own last line; it names the sender.
LIBVIRT_PROGRAMS = ("libvirtd)", "virtqemud)")

# What takes back an earlier event: the guest began anew, or ran on.
TAKEN_BACK_BY = {
    "guest-shutdown": ("RESET", "RESUME"),
    "migrated": ("RESUME",),  # A dump or a snapshot also ends in MIGRATION completed.
    "panicked": ("RESET",),
    "crash-dumping": ("RESET",),
    "watchdog": ("RESET",),
    "page-lost": (),  # What was lost stays lost.
    "coming": ("RESUME",),  # Its memory has come from another host, and it runs here.
}


class Fault(Struct, frozen=True):
    condition: str
    cause: str
    certainty: Certainty = Certainty.CERTAIN


class Stop(Struct, frozen=True):
    how: str
    reason: str
    moved_away: bool = False


class Told(Struct, frozen=True):
    """The end belongs to what is known already, and adds nothing to it."""


Judgement = Fault | Stop | Told


class Life(Struct, kw_only=True):
    """What the witnesses of one life said so far, and what was made of it."""

    life: Incarnation
    signed_at: Instant | None = None  # The first sign of its end.
    status: int | None = None
    core_signal: int | None = None
    gone_at: Instant | None = None
    found: VmFoundGone | None = None
    words: dict[str, Instant] = field(default_factory=dict)
    marks: dict[str, Instant] = field(default_factory=dict)
    outside: str = ""
    log: QemuLogRead | None = None
    has_newer: bool = False  # The VM has begun another life since.
    due: Instant | None = None
    is_overdue: bool = False
    said: Judgement | None = None
    has_said_ran: bool = False
    has_said_ended: bool = False

    @property
    def has_failed_status(self) -> bool:
        return bool(self.status) or self.core_signal is not None

    def has(self, mark: str) -> bool:
        at = self.marks.get(mark)
        if at is None:
            return False
        return all(self.marks.get(event, at) <= at for event in TAKEN_BACK_BY[mark])

    def mark(self, what: str, at: Instant) -> None:
        self.marks[what] = max(at, self.marks.get(what, at))

    def take_word(self, word: str, at: Instant) -> None:
        """Keep libvirt's reason for an end; its event, `virsh domstate` and QEMU's log differ."""
        plain = word.strip().lower().replace("-", "_").replace(" ", "_")
        plain = "from_snapshot" if plain == "snapshot" else plain
        if plain in KNOWN_WORDS:
            self.words[plain] = max(at, self.words.get(plain, at))

    def take_shutdown(self, details: dict[str, Any], at: Instant) -> None:
        """Keep what QEMU says about who asked it to end. Before 4.0 it said only `guest`."""
        by_default = "guest-shutdown" if details.get("guest") else "host-signal"
        reason = details.get("reason", by_default)
        if reason in GUEST_REASONS:
            self.mark("guest-shutdown", at)
        elif reason == "guest-panic":
            self.mark("panicked", at)
        elif reason == "host-error":
            self.take_word(reason, at)
        else:
            self.outside = self.outside or OUTSIDE_REASONS.get(str(reason), "")

    def evidence(self) -> dict[str, str]:
        found = {
            "exit": "" if self.status is None else spoken_exit(self.status),
            "libvirt": ", ".join(sorted(self.words)),
            "qemu_log": self.log.last_line if self.log else "",
        }
        return {key: said for key, said in found.items() if said}

    def forget_sign(self) -> None:
        """A thread ended and the process lives on: a vCPU was taken out, and that is no sign."""
        self.signed_at = None
        self.status = None
        self.is_overdue = False


def judge(life: Life, watchdog_ms: float) -> Judgement | None:
    """The judgement on this life's end, or None while it lives or a witness is waited for."""
    if life.signed_at is None:
        return None
    if life.has("panicked"):
        return Told()  # Its panic has been raised: whatever ends it then belongs to that.
    wanted = _wanted_by_libvirt(life)
    if wanted is not None:
        return wanted
    if life.has("coming") and not life.is_overdue:
        return _came_in_half(life)
    if life.has_failed_status:
        # Also when it was judged stuck before: policy makes it part of that incident, since a
        # destroy of what is stuck ends in SIGKILL, and libvirt's word then comes after it.
        return Fault(GONE, _violent_cause(life))
    if _ended_by_watchdog(life, watchdog_ms):
        return Fault(GONE, "powered off by its watchdog")
    has_guest_stop = life.has("guest-shutdown")
    if has_guest_stop and life.has("crash-dumping"):
        return Fault(GONE, "powered itself off after its kernel crashed")
    if has_guest_stop and "shutdown" in life.words:
        return _guest_stop()
    failed = next((said for word, said in FAILED_WORDS.items() if word in life.words), "")
    # After a boot libvirt's word is about a start that failed since: an autostart, mostly.
    if failed and (life.found is None or life.found.same_boot):
        outside = "" if has_guest_stop else _outside_cause(life)
        return Fault(OUTSIDE, outside) if outside else Fault(GONE, failed)
    return _judge_overdue(life) if life.is_overdue else None


def _came_in_half(life: Life) -> Judgement | None:
    """It never ran here. Its process ends by itself when its move breaks off, as a crash would
    look; then libvirt says so within the time that a clean end has."""
    if not any(word in life.words for word in (*FAILED_WORDS, "shutdown")):
        return None
    return Stop("half of a move", "its move here from another host broke off")


def _judge_overdue(life: Life) -> Judgement | None:
    """Without libvirt's word, or one that does not say who wanted it, the others decide."""
    has_ended = life.gone_at is not None or life.found is not None
    if life.has("migrated") or life.has("guest-shutdown"):
        if not has_ended:
            return None  # A thread ended; QEMU may still wait for libvirt, or go on.
        if life.has("guest-shutdown"):
            return _guest_stop()
        return Stop("saved or migrated", "its memory was moved out of it before it ended")
    outside = _outside_cause(life)
    if outside:
        return Fault(OUTSIDE, outside)
    if _signal_line(life):
        return Stop("ended by libvirt", "libvirt ended it, as QEMU's log says")
    if life.log is not None and "shutdown" in life.words:
        return _guest_stop()
    if life.found is not None and not life.found.same_boot:
        return Fault(GONE, "its host was restarted")
    if life.found is not None and life.has_newer:
        return Told()  # It was stopped and started again while nobody looked.
    if not has_ended:
        return None
    ended = "" if life.status is None else f" ({spoken_exit(life.status)})"
    return Fault(UNEXPLAINED, f"stopped, cause unknown{ended}", Certainty.SUSPECTED)


def _wanted_by_libvirt(life: Life) -> Stop | None:
    word = next((word for word in WANTED_WORDS if word in life.words), "")
    if word == "destroyed" and life.has_failed_status:
        return Stop("destroyed by force", "an operator destroyed it by force")
    if word:
        return Stop(word.replace("_", " "), WANTED_WORDS[word], word == "migrated")
    has_word = "shutdown" in life.words and life.has("guest-shutdown")
    if life.has_failed_status and has_word and not life.has("crash-dumping"):
        return Stop("shutdown", "the guest powered itself off, and libvirt ended what was left")
    return None


def _guest_stop() -> Stop:
    return Stop("shutdown", "the guest powered itself off")


def _violent_cause(life: Life) -> str:
    end = life.core_signal or (life.status or 0) & SIGNAL_BITS
    if end and signal_name(end) == "SIGBUS" and life.has("page-lost"):
        return "killed by SIGBUS, since a page of its memory lost its content"
    if life.status:
        return spoken_exit(life.status)
    if life.core_signal:
        return f"crashed ({signal_name(life.core_signal)}), its core is being written"
    return "crashed, its core is being written"


def _ended_by_watchdog(life: Life, watchdog_ms: float) -> bool:
    if life.signed_at is None or not life.has("watchdog"):
        return False
    return elapsed_ms(life.marks["watchdog"], life.signed_at) <= watchdog_ms


def _signal_line(life: Life) -> str:
    """`signal 15 from pid 4711 (bash)`, from QEMU's log; empty if no signal ended it."""
    line = life.log.last_line if life.log else ""
    _, found, sender = line.partition(SIGNAL_LINE)
    return f"signal {sender.strip()}" if found else ""


def _outside_cause(life: Life) -> str:
    line = _signal_line(life)
    if line.endswith(LIBVIRT_PROGRAMS):
        return ""
    has_sender = " from pid " in line
    return f"ended by {line}" if has_sender or (line and not life.outside) else life.outside
