"""A program ends when the site's part of its settings changed, and is started again with it."""

import asyncio
from pathlib import Path

from holdfast.facts.settings import Settings
from holdfast.facts.settings_reader import read_settings


async def wait_site_changed(settings: Settings, each_s: float = 1.0) -> None:
    """Return once the file's part for the site says something else than these settings.

    Whoever runs then ends, and is started again with what is new. A file that cannot be read, or
    has a mistake in it, is somebody's work in progress.
    """
    path = Path(settings.file)
    age = 0  # Also what was written between the reading of these settings and now is news.
    while True:
        await asyncio.sleep(each_s)
        now = _age(path)
        if now == age:
            continue
        age = now
        try:
            fresh = read_settings(path.read_text(), str(path))
        except (OSError, ValueError):
            continue
        if _site_part(fresh) != _site_part(settings):
            return


def _age(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _site_part(settings: Settings) -> tuple[object, ...]:
    return (
        settings.planes,
        settings.controllers,
        settings.store,
        settings.etcd_endpoints,
        settings.api_port,
        settings.link_port,
        settings.pulse_port,
        settings.answer_port,
        settings.gasp_port,
        settings.kdump_port,
    )
