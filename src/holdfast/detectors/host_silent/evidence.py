"""What a silence means: the first evidence in this table that is at hand decides it."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from holdfast.facts.hearing import Dump, Sign, WitnessKind, WitnessSpoke
from holdfast.facts.verdicts import Certainty, Effect

LOST = "host-lost"
FROZEN = "host-frozen"
PANICKED = "host-panicked"
CUT_OFF = "host-cut-off"
PULSE_AWAY = "pulse-away"
UNBELIEVED = "not believed"
ENDED = "Holdfast was ended there on purpose, and has not come back"


class Meaning(Struct, frozen=True, kw_only=True):
    """`reason` is a sentence about the host, without its name."""

    condition: str
    effect: Effect
    certainty: Certainty
    reason: str
    cause: str

    @property
    def lives(self) -> bool:
        """Whether the host is known to be alive, so that its VMs are not lost."""
        return self.effect is Effect.DEGRADED


def meaning(
    signs: Mapping[tuple[WitnessKind, str, str], WitnessSpoke],
    *,
    host: str,
    gasp: str,
    is_here: bool,
    was_ended: bool = False,
    refused: str = "",
    dump: Dump = Dump.NONE,
) -> Meaning:
    """Of a host that is silent on all planes: by who was asked, and what its kernel said last.

    `was_ended`: its pulse said that it is ended on purpose, for a restart that has not come.
    `refused` is why pulses in its name that do arrive are not believed.
    """
    panic = _panic(gasp, dump)
    found = _meaning(signs, host=host, panic=panic, is_here=is_here, was_ended=was_ended)
    if not refused:
        return found
    word = f"pulses in its name arrive, and are {UNBELIEVED}: {refused}"
    return msgspec.structs.replace(found, reason=f"{found.reason}; {word}", cause=word)


def _panic(gasp: str, dump: Dump) -> Meaning | None:
    """What its kernel said last, and what its crash kernel says since."""
    words = [f"its kernel's last word was: {gasp}"] if gasp else []
    words += [f"its crash dump {dump}"] if dump else []
    if not words:
        return None
    return Meaning(
        condition=PANICKED,
        effect=Effect.GONE,
        certainty=Certainty.SUSPECTED,
        reason=f"is silent, and {'; '.join(words)}",
        cause=f"kernel panic: {gasp}" if gasp else "kernel panic: it writes a crash dump",
    )


def _meaning(
    signs: Mapping[tuple[WitnessKind, str, str], WitnessSpoke],
    *,
    host: str,
    panic: Meaning | None,
    is_here: bool,
    was_ended: bool,
) -> Meaning:
    spoke = list(signs.values())
    reached = [one for one in spoke if one.sign is Sign.PULSE]
    by_others = [one for one in reached if one.kind is not WitnessKind.PROBE]
    by_agent = [one for one in by_others if one.witness == host]
    if len(by_others) > len(by_agent):
        first = next(one for one in by_others if one.witness != host)
        who = "controller" if first.kind is WitnessKind.CONTROLLER else "host"
        return _lives(CUT_OFF, f"is silent here, yet {who} {first.witness} reaches it", "cut off")
    if by_agent:
        reason = "sends no pulse, yet its agent answers on its link"
        return _lives(PULSE_AWAY, reason, "its pulse ended, or the planes are cut")
    if reached:
        reason = "sends no pulse that arrives, yet it answers when it is asked"
        return _lives(CUT_OFF, reason, "cut one way")
    if is_here:
        return _lives(PULSE_AWAY, "sends no pulse: its pulse has ended", "its pulse ended")
    if panic is not None:
        return panic
    has_kernel = any(one.sign is Sign.KERNEL for one in spoke)
    if has_kernel and was_ended:
        reason = f"sends no pulse: {ENDED}"
        return _lives(PULSE_AWAY, reason, "Holdfast was ended there on purpose")
    if has_kernel:
        return Meaning(
            condition=FROZEN,
            effect=Effect.STUCK,
            certainty=Certainty.SUSPECTED,
            reason="is silent, yet its kernel answers: it is frozen, or its programs are dead",
            cause="frozen: only its kernel answers",
        )
    return Meaning(
        condition=LOST,
        effect=Effect.GONE,
        certainty=Certainty.SUSPECTED,
        reason=f"is silent: {f'{ENDED}; or ' if was_ended else ''}it lost power, or is cut off",
        cause=f"{'ended on purpose, ' if was_ended else ''}power lost, or cut off everywhere",
    )


def _lives(condition: str, reason: str, cause: str) -> Meaning:
    return Meaning(
        condition=condition,
        effect=Effect.DEGRADED,
        certainty=Certainty.CERTAIN,
        reason=reason,
        cause=cause,
    )
