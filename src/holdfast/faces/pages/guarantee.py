"""What the loss of hosts would mean: in a line, in a table, and of one host."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from holdfast.faces.api.guarantee_shapes import Guarantee, GuaranteeShown, Loss, Unplaced
from holdfast.faces.pages.tables import BAD, GOOD, QUIET, STRONG, UNSURE, counted, table

NAMED = 3


def in_a_line(one: Guarantee) -> str:
    """Whether the loss of any one host, or of so many as should be, could be absorbed."""
    if not one.acting:
        return "nobody starts VMs elsewhere: Holdfast acts on no host"
    if one.hindered:
        return _hindered(one)
    return _absorbed(one)


def _hindered(one: Guarantee) -> str:
    """Of hosts on which Holdfast is to act, and could not now."""
    said = _reasons(one)
    if len(one.hindered) >= one.acting:
        return f"nothing would start elsewhere now: {said}"
    return f"{_absorbed(one)}; but {said}"


def _reasons(one: Guarantee) -> str:
    reasons = list(dict.fromkeys(one.hindered))
    more = f"; and {len(reasons) - NAMED} more" if len(reasons) > NAMED else ""
    return f"{'; '.join(reasons[:NAMED])}{more}"


def _absorbed(one: Guarantee) -> str:
    if one.is_kept or one.tolerable:
        said = f"the loss of {_of(one)} could be absorbed"
        more = f", and {one.target} at once should be: holdfast guarantee --hosts {one.target}"
        return said if one.is_kept else said + more
    more = f"; and {counted(one.more, 'more host')}" if one.more else ""
    return f"{'; '.join(one.would_leave)}{more}"


def _of(one: Guarantee) -> str:
    """Which losses it is about: of whom Holdfast acts on, and could now."""
    able = one.acting - len(one.hindered)
    if one.hindered and able:
        number = str(one.tolerable) if one.tolerable > 1 else "one"
        which = "one" if able == 1 else f"any {number} of {able}"
        return f"{which} of the {one.acting} hosts on which Holdfast acts"
    if one.acting == 1:
        return f"the one host on which Holdfast acts (of {one.hosts})"
    number = f"any {one.tolerable}" if one.tolerable > 1 else "any one"
    if one.acting == one.hosts:
        return f"{number} of {counted(one.hosts, 'host')}"
    return f"{number} of the {one.acting} hosts on which Holdfast acts"


def guarantee_page(one: GuaranteeShown) -> Iterator[Any]:
    bad = [loss for loss in one.losses if loss.stays or loss.inaction or loss.hindered]
    yield _verdict(one)
    shown = one.losses if one.together == 1 else bad
    if shown:
        yield ""
        yield table(
            ("WITHOUT", "VMS", "START ELSEWHERE", "STAY DOWN"), [_row(loss) for loss in shown]
        )
    if one.together > 1:
        yield ""
        fine, tried = len(one.losses) - len(bad), counted(len(one.losses), "pair")
        yield f"Of {tried} of hosts that were tried {fine} could be absorbed, and are not listed."
        if one.brake < one.together:
            yield f"But when more than {counted(one.brake, 'host')} fall silent at once, Holdfast"
            yield "does nothing before a person has looked: that is its brake."
    if one.untried:
        yield ""
        yield f"Not tried: {one.untried} losses that would cost less than these."
    blocked = [name for loss in shown if loss.stays for name in loss.names]
    if blocked:
        yield ""
        yield f"All VMs of one of them, and why: holdfast host show {blocked[0]}"


def _verdict(one: GuaranteeShown) -> Text:
    """In a line; what would stay down is in the table below it."""
    if one.acting and one.tolerable < one.together:
        bad = sum(1 for loss in one.losses if loss.stays and not loss.inaction)
        single = one.together == 1
        what = counted(bad, "host") if single else counted(bad, "pair of hosts", "pairs of hosts")
        said = f"The loss of {what} could not be absorbed."
        if one.hindered:
            said += f" And {_reasons(one)}."
        return Text(said, style=UNSURE if one.is_kept else BAD)
    line = in_a_line(one)
    is_good = one.is_kept and not (one.acting and one.hindered)
    return Text(f"{line[0].upper()}{line[1:]}.", style=GOOD if is_good else UNSURE)


def _row(loss: Loss) -> tuple[Text | str, ...]:
    names = Text(" and ".join(loss.names), style=STRONG)
    if loss.inaction:
        return names, str(loss.vms), "0", Text(f"all: {loss.inaction}", style=QUIET)
    if loss.hindered:
        return names, str(loss.vms), "0", Text(f"all, now: {loss.hindered}", style=UNSURE)
    moved = str(loss.vms - len(loss.stays))
    if not loss.stays:
        return names, str(loss.vms), moved, Text("-", style=QUIET)
    return names, str(loss.vms), moved, Text(_stays(loss.stays), style=BAD)


def _stays(stays: Sequence[Unplaced]) -> str:
    """The first few by name; who has the same reason stands together."""
    by_reason: dict[str, list[str]] = {}
    for one in stays[:NAMED]:
        by_reason.setdefault(one.reason, []).append(one.name)
    said = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())
    rest = len(stays) - NAMED
    return f"{said}; and {rest} more" if rest > 0 else said


def host_lines(loss: Loss) -> Iterator[Any]:
    """Of one host: all of its VMs that would stay down."""
    if loss.inaction:
        yield Text(f"If it died now, nothing would start elsewhere: {loss.inaction}.", style=UNSURE)
    elif loss.hindered:
        yield Text(f"If it died now, nothing would start elsewhere: {loss.hindered}.", style=UNSURE)
    elif not loss.stays:
        count = counted(loss.vms, "VM")
        yield f"If it died now, {count} would start elsewhere." if loss.vms else _NONE
    else:
        count = f"{len(loss.stays)} of {counted(loss.vms, 'VM')}"
        yield Text(f"If it died now, {count} would start nowhere else:", style=UNSURE)
        for one in loss.stays:
            yield Text(f"  {one.name}: {one.reason}", style=UNSURE)


_NONE = "If it died now, it would leave no protected VM behind."
