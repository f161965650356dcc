"""What a number of controllers means, plainly."""

from collections.abc import Sequence


def controllers_mean(names: Sequence[str], store: str) -> str:
    count = len(names)
    if store != "etcd":
        return (
            "one controller: while it is away nobody hears the hosts, and no alarm is passed on."
            " Agents go on restarting their VMs, and keep their reports until it is back."
            " For three: holdfast init --controllers 3"
        )
    if count == 1:
        return (
            "one controller of three: while it is away nobody hears the hosts."
            " Let two more join: holdfast ca token new --controller"
        )
    if count == 2:
        return (
            "two controllers of three: each hears the hosts and reports, but the store needs both;"
            " while either is away nothing can be changed or recovered elsewhere."
            " Let one more join: holdfast ca token new --controller"
        )
    if count % 2 == 0:
        return f"{count} controllers bear no more than {count - 1} do: an odd number is better"
    lost = (count - 1) // 2
    words = "any one of them" if lost == 1 else f"any {lost} of them"
    return f"{count} controllers: the site bears the loss of {words}"
