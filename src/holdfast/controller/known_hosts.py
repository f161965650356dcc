"""Every replica listens for every host of the site, also for those whose agents it never met.

It misses only those that it heard, or whose agents greeted here, now or in an earlier run: what the
store says of a host does not tell that its pulse knows of this controller already.
"""

import logging

from holdfast.controller.hearing import Hearing
from holdfast.controller.registry import Registry
from holdfast.controller.watch import Watch

log = logging.getLogger(__name__)

FOLDER = "agents/"


def follow_hosts(registry: Registry, hearing: Hearing, watch: Watch) -> None:
    """What the store says of a host is told to the ear and to the watch, whenever it changes."""

    def changed(key: str) -> None:
        if not key.startswith(FOLDER):
            return
        host = key.removeprefix(FOLDER)
        known = registry.known(host)
        if known is None:
            hearing.forget_host(host)
            watch.forget(host)
            return
        watch.set_host(host, known.host_name, known)
        if not known.pulse_key:
            return  # Its agent is of a version that has no pulse.
        try:
            hearing.know_host(host, known.pulse_key, known.addresses, known.boot)
        except ValueError as error:
            log.error("the pulses of host %s cannot be believed: %s", known.host_name, error)
            return
        watch.know(host, known.host_name, known.boot, tuple(sorted(known.addresses)))

    registry.on_change.append(changed)
