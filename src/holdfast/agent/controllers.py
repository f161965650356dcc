"""Where this host's controllers are, and how each is dialed."""

import functools
from pathlib import Path

from holdfast.adapters.drivers.certificates import Certificates
from holdfast.adapters.drivers.dials import tls_dial, unix_dial
from holdfast.facts.settings import Settings
from holdfast.ports.link import Dial


def controllers_of(settings: Settings, host_name: str) -> list[Dial]:
    """The one on this host over its own socket, the others over TLS."""
    own = Path(settings.run_dir) / "controller.sock"
    if not settings.controllers:
        return [unix_dial("here", own)]
    others = [place for place in settings.controllers if place.name != host_name]
    is_here = len(others) < len(settings.controllers)
    dials = [unix_dial(host_name, own)] if is_here else []
    certificates = functools.cache(lambda: Certificates(settings.tls_dir))
    return dials + [
        tls_dial(place.name, place.address, settings.link_port, certificates) for place in others
    ]
