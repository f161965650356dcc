"""The picture of a VM's life under policy, drawn from its table."""

from holdfast.policy.vm_states import TRANSITIONS, VmEvent, VmState


def state_page() -> str:
    """Markdown: what each state and event means, and the moves that change the state."""
    states = "\n".join(f"| {state.name} | {state.value} |" for state in VmState)
    events = "\n".join(f"| {event.name} | {event.value} |" for event in VmEvent)
    moves = "\n".join(
        f"    {state.name} --> {after.name}: {', '.join(names)}"
        for state in VmState
        for after, names in _moves(state).items()
    )
    return f"""# The life of a VM

Drawn from `policy/vm_states.py` by `make rewrite`; do not edit. Every state answers every event;
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


def _moves(state: VmState) -> dict[VmState, list[str]]:
    """The states that this one can become, each with the events that lead there."""
    found: dict[VmState, list[str]] = {}
    for event, after in TRANSITIONS[state].items():
        if after is not state:
            found.setdefault(after, []).append(event.name)
    return found
