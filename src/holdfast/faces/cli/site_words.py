"""What a number of controllers means, plainly."""

from collections.abc import Mapping, Sequence
from typing import Any


def controllers_mean(names: Sequence[str], store: str) -> str:
    count = len(names)
    lack = controllers_lack(count, store)
    if lack:
        return lack
    if store != "etcd":
        return (
            "one controller: while it is away nobody hears the hosts, and no alarm is passed on."
            " Agents go on restarting their VMs, and keep their reports until it is back."
            " For three: holdfast init --controllers 3"
        )
    if count % 2 == 0:
        return f"{count} controllers bear no more than {count - 1} do: an odd number is better"
    lost = (count - 1) // 2
    words = "any one of them" if lost == 1 else f"any {lost} of them"
    return f"{count} controllers: the site bears the loss of {words}"


def controllers_lack(count: int, store: str) -> str:
    """A site with its store in etcd is made for three: what fewer mean, or empty."""
    if store == "etcd" and count == 1:
        return (
            "one controller of three: while it is away nobody hears the hosts."
            " Let two more join: holdfast ca token new --controller"
        )
    if store == "etcd" and count == 2:
        return (
            "two controllers of three: each hears the hosts and reports, but the store needs both;"
            " while either is away nothing can be changed or recovered elsewhere."
            " Let one more join: holdfast ca token new --controller"
        )
    return ""


def put_out(host_name: str, reason: str) -> str:
    """The command; it is typed on a controller that stays."""
    return f"holdfast ca certificate revoke {host_name} --reason {reason}"


def to_begin_anew(host_name: str) -> str:
    """After a join that stopped half-way. A controller may have its vote in the store already:
    were it taken away without asking, one of two votes would be missing."""
    return (
        "not all of it was done; to begin anew: holdfast leave, then join with a new token."
        " (holdfast leave --alone only when no controller answers it; then, on a controller:"
        f" {put_out(host_name, 'again')})"
    )


def lacking(site: Mapping[str, Any]) -> list[str]:
    """What the controllers of a site, as it told of them, mean where they are too few."""
    lack = controllers_lack(len(site.get("controllers", ())), str(site.get("store", "")))
    return [f"the site has {lack}"] if lack else []
