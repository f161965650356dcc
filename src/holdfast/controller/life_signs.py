"""The last signs of life of each host as heard here: pulses, its link, what witnesses said."""

from collections.abc import Iterator

from msgspec import Struct, field

from holdfast.facts import hearing as heard
from holdfast.facts.hearing import Hearing, Sign, WitnessKind
from holdfast.facts.instants import NS_PER_MS, Instant, spoken

SAID = {
    Sign.PULSE: "it lives",
    Sign.KERNEL: "its kernel answers",
    Sign.NOTHING: "no sign of life",
    Sign.UNKNOWN: "it does not know",
}
_Witness = tuple[WitnessKind, str, str]


class _Signs(Struct, kw_only=True):
    """`planes`: when the last pulse came on each, None while they come. `link` is when it came up
    or broke off."""

    planes: dict[str, Instant | None] = field(default_factory=dict)
    is_linked: bool = False
    link: Instant | None = None
    witnesses: dict[_Witness, tuple[Sign, Instant]] = field(default_factory=dict)


class LifeSigns:
    """Hears what the watch hears, and only remembers it."""

    def __init__(self) -> None:
        self._hosts: dict[str, _Signs] = {}

    def see(self, seen: Hearing) -> None:
        match seen:
            case heard.PlaneHeard():
                self._of(seen.host).planes[seen.plane] = None
            case heard.PlaneSilent():
                self._of(seen.host).planes[seen.plane] = seen.last_heard
            case heard.EarBegan():
                for signs in self._hosts.values():
                    signs.planes = {p: at for p, at in signs.planes.items() if at is not None}
            case heard.LinkChanged():
                signs = self._of(seen.host)
                signs.is_linked, signs.link = seen.is_up, seen.at
            case heard.WitnessSpoke():
                witness = (seen.kind, seen.witness, seen.plane)
                self._of(seen.host).witnesses[witness] = seen.sign, seen.at
            case heard.HostForgotten():
                self._hosts.pop(seen.host, None)
            case _:
                pass

    def _of(self, host: str) -> _Signs:
        return self._hosts.setdefault(host, _Signs())

    def tell(self, host: str, now: Instant) -> Iterator[str]:
        """In words, each with its age."""
        signs = self._hosts.get(host, _Signs())
        for plane, at in sorted(signs.planes.items()):
            yield f"plane {plane}: " + (
                "it pulses" if at is None else f"last pulse {_ago(at, now)}"
            )
        if not signs.planes:
            yield "pulses: this controller has heard none since it began"
        if signs.link is None:
            yield "its agent: not linked since this controller began"
        elif signs.is_linked:
            yield f"its agent: link came up {_ago(signs.link, now)}"
        else:
            yield f"its agent: link broke off {_ago(signs.link, now)}"
        for (kind, witness, plane), (sign, at) in sorted(signs.witnesses.items()):
            asked = _asked(kind, "" if witness == host else witness, plane)
            yield f"{asked}, {_ago(at, now)}: {SAID[sign]}"


def _asked(kind: WitnessKind, witness: str, plane: str) -> str:
    """`witness` is empty where the host was to speak for itself."""
    on = f" on plane {plane}" if plane else ""
    if kind is WitnessKind.PROBE:
        return f"the host itself was asked{on}"
    return f"{kind} {witness} was asked{on}" if witness else "its own agent was asked"


def _ago(at: Instant, now: Instant) -> str:
    return f"{spoken(max(0, now - at) / NS_PER_MS)} ago"
