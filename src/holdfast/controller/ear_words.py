"""What the ear process says, as facts."""

import logging
from typing import Any

from holdfast.facts import hearing as heard
from holdfast.facts.hearing import Layer, LayerState, Plan
from holdfast.facts.instants import Instant

log = logging.getLogger(__name__)


def read_observation(said: dict[str, Any], at: Instant) -> heard.Hearing | None:
    """What the ear said, as a fact; None for what only a newer ear knows."""
    match said:
        case {"is": "heard", "host": host, "plane": plane, "boot": boot}:
            return heard.PlaneHeard(at=at, host=host, plane=plane, boot=boot)
        case {"is": "silent", "host": host, "plane": plane, "boot": boot, "last": last}:
            return heard.PlaneSilent(
                at=at,
                host=host,
                plane=plane,
                boot=boot,
                last_heard=last,
                missed=said["missed"],
                newest_other=said["other"],
            )
        case {"is": "said", "host": host, "boot": boot, "layers": layers}:
            return heard.PulseSaid(
                at=at,
                host=host,
                boot=boot,
                layers={Layer(layer): LayerState(state) for layer, state in layers.items()},
                plan=Plan(said["plan"]),
                plan_limit_ms=said["limit_ms"],
            )
        case {"is": "crossed", "host": host, "boots": boots, "senders": senders}:
            return heard.BootsCrossed(at=at, host=host, boots=tuple(boots), senders=tuple(senders))
        case {"is": "refused", "host": host, "plane": plane, "reason": reason, "sender": sender}:
            return heard.PulsesRefused(
                at=at, host=host, plane=plane, reason=reason, sender=sender, count=said["count"]
            )
        case {"is": "gasp", "host": host, "text": text}:
            return heard.LastGasp(at=at, host=host, text=text)
        case {"is": "dump", "host": host}:
            return heard.DumpSeen(at=at, host=host)
        case _:
            log.warning("the ear said what is not known: %s", said.get("is"))
            return None
