"""One host, as it is heard: which planes, which boot, what it said it plans, who was asked."""

from holdfast.detectors.host_silent.evidence import Meaning
from holdfast.facts.hearing import (
    Dump,
    LastGasp,
    Plan,
    PulsesRefused,
    Sign,
    WitnessKind,
    WitnessSpoke,
)
from holdfast.facts.instants import Instant, elapsed_ms
from holdfast.facts.subjects import Subject, host_subject

FIRST_LOOK_MS = 1_000  # A kernel that shows itself later, where nothing did, is one that boots.
GASP_MS = 60_000  # A last word explains a silence that follows it so soon.
DUMPING_MS = 30_000  # fence_kdump_send says it each ten seconds, if not told otherwise.
REFUSED_MS = 2_000  # Pulses that are not believed are told of once a second.
BOOTS_REMEMBERED = 8


class Host:
    def __init__(self, host: str) -> None:
        self.host = self.name = host
        self.boot = ""
        self.boots: list[str] = []  # Earlier ones: heard again, a clone has pulsed meanwhile.
        self.is_here = False
        self.is_expected = False
        self.heard: set[str] = set()
        self.silent: set[str] = set()
        self.was_heard = False  # In this boot, since this controller began.
        self.last_life = Instant(0)  # The newest sign of life, whoever heard it.
        self.plan = Plan.NONE
        self.plan_until = Instant(0)
        self.gasp: LastGasp | None = None
        self.told_dump = Dump.NONE
        self.dumped_at: Instant | None = None  # When its crash kernel said last that it dumps.
        self.refused: PulsesRefused | None = None
        self.signs: dict[tuple[WitnessKind, str, str], WitnessSpoke] = {}
        self.said: Meaning | None = None
        self.judged_at = Instant(0)
        self.silent_since = Instant(0)  # Once it is judged; for what is said at its return.
        self.is_waiting = False  # Silent, and not judged yet.

    def subject(self) -> Subject:
        return host_subject(self.host, self.name)

    def end_silence(self) -> None:
        """It is heard again, and writes no dump."""
        self.said, self.dumped_at, self.told_dump = None, None, Dump.NONE

    def begin_boot(self, boot: str) -> None:
        earlier = [one for one in (*self.boots, self.boot) if one not in ("", boot)]
        self.boots = earlier[-BOOTS_REMEMBERED:]
        self.boot = boot
        self.heard.clear()
        self.silent.clear()
        self.plan, self.gasp, self.was_heard = Plan.NONE, None, False
        self.dumped_at, self.told_dump = None, Dump.NONE


def is_booting(host: Host, seen: WitnessSpoke) -> bool:
    """Its kernel answers where nothing did a while ago: it was not frozen, it starts.

    Not so while a kernel's answer stands: whoever probes again hears the same kernel.
    """
    if seen.sign is not Sign.KERNEL or host.said is None:
        return False
    signs = host.signs.values()
    was_dark = any(spoke.sign is Sign.NOTHING and _is_of_probe(host, spoke) for spoke in signs)
    stands = any(spoke.sign is Sign.KERNEL for spoke in signs)
    is_first = elapsed_ms(host.judged_at, seen.at) <= FIRST_LOOK_MS
    return was_dark and not stands and not is_first


def _is_of_probe(host: Host, spoke: WitnessSpoke) -> bool:
    """Whether a kernel could have answered it. Other controllers tell of pulses, its own agent of
    itself: of a kernel neither knows."""
    is_own = spoke.kind is WitnessKind.AGENT and spoke.witness == host.host
    return spoke.kind is not WitnessKind.CONTROLLER and not is_own


def gasp_of(host: Host) -> str:
    gasp = host.gasp
    if gasp is None or abs(elapsed_ms(gasp.at, host.silent_since)) > GASP_MS:
        return ""
    return gasp.text


def dump_of(host: Host, now: Instant) -> Dump:
    """As it was heard since the host fell silent."""
    if host.dumped_at is None:
        return Dump.NONE
    is_late = elapsed_ms(host.dumped_at, now) >= DUMPING_MS
    return Dump.OVER if is_late else Dump.WRITTEN


def refused_of(host: Host) -> str:
    """Why pulses in its name are not believed, if they came about when it fell silent, or since."""
    seen = host.refused
    if seen is None or elapsed_ms(seen.at, host.silent_since) > REFUSED_MS:
        return ""
    return seen.reason
