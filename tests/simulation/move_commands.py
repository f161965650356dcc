"""The commands of a story about VMs that move while they run, and hosts that are drained."""

from collections.abc import Callable

from holdfast.ports.hypervisor import CallFailed
from tests.simulation.people import NotDone, People
from tests.simulation.site_stage import SiteStage
from tests.simulation.story_lines import Command, Options, Words


def _people(what: Callable[[People, Words, Options], list[str]]) -> Command:
    """What they are told when it is not done is said; a story goes on."""

    def command(stage: SiteStage, words: Words, options: Options) -> list[str]:
        try:
            return what(People(stage), words, options)
        except NotDone as not_done:
            return [f"people are told: {not_done}"]

    return command


def _move(people: People, words: Words, options: Options) -> list[str]:
    """`move web [to=h3] [limit=60]`: by the leader, as it is told by a person."""
    people.move(words[0], options.get("to", ""), int(options.get("limit", "300")))
    return []


def _cancel(people: People, words: Words, _options: Options) -> list[str]:
    people.cancel_move(words[0])
    return []


def _drain(people: People, words: Words, _options: Options) -> list[str]:
    for host in words:
        people.drain(host)
    return []


def _undrain(people: People, words: Words, _options: Options) -> list[str]:
    for host in words:
        people.undrain(host)
    return []


def _show_drain(people: People, words: Words, _options: Options) -> list[str]:
    return people.show_drain(words[0]) or [f"nothing is left on {words[0]}"]


def _show_move(people: People, words: Words, _options: Options) -> list[str]:
    return [people.show_move(words[0])]


def _move_by_hand(stage: SiteStage, words: Words, options: Options) -> list[str]:
    """`virsh-migrate web to=h3`: Holdfast is not asked."""
    host = stage.site.host_of(words[0])
    vm = host.machine.vms.vms[words[0]]
    try:
        stage.site.roads.begin(vm, host.machine, stage.site.hosts[options["to"]].machine)
    except CallFailed as failed:
        return [f"virsh says: {failed}"]
    return []


def _moves(stage: SiteStage, _words: Words, options: Options) -> None:
    """`moves copy=5000 switch=800`: how long each takes from now on, in milliseconds."""
    roads = stage.site.roads
    roads.copy_ms = float(options.get("copy", roads.copy_ms))
    roads.switch_ms = float(options.get("switch", roads.switch_ms))


def _end_copy(stage: SiteStage, words: Words, options: Options) -> None:
    """`end-copy web on=h4`: by a person, of a VM that is at both ends of a move."""
    host = stage.site.hosts[options["on"]]
    stage.laws.vm_may_end(host, words[0])
    host.machine.vms.destroy(words[0])


MOVE_COMMANDS: dict[str, Command] = {
    "move": _people(_move),
    "cancel-move": _people(_cancel),
    "drain": _people(_drain),
    "undrain": _people(_undrain),
    "show-drain": _people(_show_drain),
    "show-move": _people(_show_move),
    "virsh-migrate": _move_by_hand,
    "moves": _moves,
    "end-copy": _end_copy,
}
