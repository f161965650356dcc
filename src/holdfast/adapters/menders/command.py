"""Mends by running a program of the site's, or of the distribution's: its code says if it could."""

from collections.abc import Mapping, Sequence

from holdfast.adapters.drivers.short_program import run_short
from holdfast.adapters.drivers.systemd_units import apart
from holdfast.facts.actions import TryRepair
from holdfast.ports.mender import Mender, MendFailed


class Command:
    async def mend(self, asked: TryRepair) -> str:
        """The step's `args` are the program's path and its arguments. It sees HOLDFAST_SUBJECT,
        and each of the fault's evidence as HOLDFAST_NAME."""
        told = {"HOLDFAST_SUBJECT": asked.subject.id, **_told(asked.evidence)}
        return await run_step(apart(asked.step.args), asked.limit_ms / 1_000, told)


async def run_step(
    command: Sequence[str], limit_s: float, extra: Mapping[str, str] | None = None
) -> str:
    """Run it to its end. Raises MendFailed, TimeoutError."""
    try:
        ran = await run_short(command, limit_s, extra)
    except OSError as error:
        raise MendFailed(f"{command[0]} cannot be started: {error.strerror}") from error
    if ran.code is None:
        raise TimeoutError
    if ran.code != 0:
        said = f": {ran.last_words}" if ran.last_words else ""
        raise MendFailed(f"{' '.join(command)} ended with {ran.code}{said}")
    return " ".join(command)


def _told(evidence: Mapping[str, str]) -> dict[str, str]:
    return {
        "HOLDFAST_" + "".join(c if c.isalnum() else "_" for c in name).upper(): value
        for name, value in evidence.items()
    }


PLUGIN: type[Mender] = Command
