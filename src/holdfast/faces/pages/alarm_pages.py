"""The operator's page of each alarm, made from the catalogue."""

from holdfast.facts.alarm_types import AlarmType
from holdfast.facts.catalogue import CATALOGUE
from holdfast.facts.repairs import STEPS


def page(row: AlarmType) -> str:
    """One page, in Markdown."""
    if row.reported:
        when = row.reported
    elif row.pushed and "H7" in row.covers:
        when = "within a second: by a host's pulses and its link, or by their absence."
    elif row.pushed:
        when = "within a second: the kernel, QEMU or libvirt tells it."
    else:
        when = f"by asking, so within {row.period_s} s rather than at once."
    covers = ", ".join(row.covers)
    return f"""# {row.id}: {row.title}

| | |
|---|---|
| Means | {row.means} |
| Severity | {row.severity} (a mere suspicion of a critical one is major) |
| Reported | {when} |
| Clears | {row.clears} |
| What to do | {row.repair} |
| Subject | {row.subject} |
| X.733 event type | {row.event_type} |
| X.733 probable cause | {row.probable_cause} |
| Requirements | {covers} |
{_steps(row)}
`holdfast alarms` lists it while it is open; `holdfast explain` tells the story of its incident.
"""


def _steps(row: AlarmType) -> str:
    steps = STEPS.get(row.id)
    if not steps:
        return ""
    return f"\n## What to do, step by step\n\n{steps}"


def index() -> str:
    rows = "\n".join(
        f"| [{row.id}]({row.id}.md) | {row.title} | {row.severity} | {row.repair} |"
        for row in CATALOGUE
    )
    return f"""# Alarms

Every alarm that Holdfast can raise. For programs: `holdfast alarms --catalogue --json`.

| alarm | what happened | severity | what to do |
|---|---|---|---|
{rows}
"""


def pages() -> dict[str, str]:
    """File name to text, for docs/operate/alarms."""
    return {"README.md": index(), **{f"{row.id}.md": page(row) for row in CATALOGUE}}
