"""Pictures of the lives of a VM and of a host under policy, drawn from their tables."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from holdfast.policy import host_states, vm_states

State = TypeVar("State", bound=StrEnum)
Event = TypeVar("Event", bound=StrEnum)


def state_page() -> str:
    """Markdown: what each state and event means, and the moves that change the state."""
    return _page("VM", "vm_states", vm_states.TRANSITIONS, vm_states.VmEvent)


def host_state_page() -> str:
    return _page("host", "host_states", host_states.TRANSITIONS, host_states.HostEvent)


def _page(
    what: str,
    table: str,
    transitions: Mapping[State, Mapping[Event, State]],
    all_events: type[Event],
) -> str:
    states = "\n".join(f"| {state.name} | {state.value} |" for state in transitions)
    events = "\n".join(f"| {event.name} | {event.value} |" for event in all_events)
    moves = "\n".join(
        f"    {state.name} --> {after.name}: {', '.join(names)}"
        for state in transitions
        for after, names in _moves(state, transitions[state]).items()
    )
    return f"""# The life of a {what}

Drawn from `policy/{table}.py` by `make rewrite`; do not edit. Every state answers every event;
what is not drawn keeps the state, or cannot happen (the table says why).

```mermaid
stateDiagram-v2
{moves}
```

| state | it |
|---|---|
{states}

| event | when |
|---|---|
{events}
"""


def _moves(state: State, answers: Mapping[Event, State]) -> dict[State, list[str]]:
    """The states that this one can become, each with the events that lead there."""
    found: dict[State, list[str]] = {}
    for event, after in answers.items():
        if after is not state:
            found.setdefault(after, []).append(event.name)
    return found
