"""What this host could not mend, by subject, and what should be done about it.

Beside what a ladder gave up, it is each broken part of its hardware that no ladder is at work on.
One that mends itself, or harms nothing (advice: nothing), is an alarm and no hand-over.
"""

from collections.abc import Iterator

from msgspec import Struct

from holdfast.facts.hardware import ADVICE, Advice, is_part
from holdfast.policy.mends import MendStage
from holdfast.policy.world import World

WORST_LAST = tuple(Advice)


class HandedOver(Struct, frozen=True, kw_only=True):
    reason: str
    advice: Advice


def handed_over(world: World) -> dict[str, HandedOver]:
    """The VIM has these by now. Of a subject with several faults the worst advice counts."""
    found: dict[str, HandedOver] = {}
    for subject, one in _each(world):
        known = found.get(subject)
        found[subject] = one if known is None else _both(known, one)
    return found


def _both(first: HandedOver, other: HandedOver) -> HandedOver:
    advice = max(first.advice, other.advice, key=WORST_LAST.index)
    return HandedOver(reason=f"{first.reason}; {other.reason}", advice=advice)


def _each(world: World) -> Iterator[tuple[str, HandedOver]]:
    for mend in world.mends.open.values():
        # Who has no advice, as a process, should be left by its VMs.
        advice = _advice(mend.fault.evidence.get(ADVICE, Advice.DRAIN))
        if mend.stage is MendStage.HANDED_OVER and advice is not Advice.NOTHING:
            yield mend.fault.subject.id, HandedOver(reason=mend.fault.reason, advice=advice)
    for key, alarm in world.alarms.items():
        advice = _advice(alarm.details.get(ADVICE, Advice.NOTHING))
        is_left = is_part(alarm.subject) and key not in world.mends.open
        if is_left and advice is not Advice.NOTHING:
            yield alarm.subject.id, HandedOver(reason=alarm.text, advice=advice)


def _advice(word: str) -> Advice:
    """Of another version's words, the most careful one that moves nothing."""
    return Advice(word) if word in WORST_LAST else Advice.QUARANTINE
