"""Who this agent is: host id, boot, and whether its memory is the one that the store knows."""

import logging
import socket
from pathlib import Path

from msgspec import Struct

from holdfast.adapters.drivers.certificates import (
    CERTIFICATE,
    CertificateProblem,
    Certificates,
    read_certificate,
)
from holdfast.adapters.drivers.private_folder import make_private_folder
from holdfast.agent.boot_word import is_word, keep_word, read_boot, read_word

log = logging.getLogger(__name__)


class Identity(Struct, frozen=True, kw_only=True):
    """`is_new_state` says that the state directory was empty: nothing is remembered."""

    host: str
    host_name: str
    boot: str
    state_id: str
    is_new_state: bool


def identify(state_dir: Path, run_dir: Path, host_name: str, tls_dir: Path) -> Identity:
    """Read who we are, and write what is missing.

    Raises OSError when that cannot be written, CertificateProblem when nothing says who we are.
    """
    for folder in (state_dir, run_dir):
        make_private_folder(folder)
    state_id, is_new = keep_word(state_dir / "state-id")
    return Identity(
        host=keep_host_id(state_dir, tls_dir),
        host_name=host_name or socket.gethostname(),
        boot=read_boot(run_dir),
        state_id=state_id,
        is_new_state=is_new,
    )


def keep_host_id(state_dir: Path, tls_dir: Path) -> str:
    """The host's id, made on a host that joined no site. Raises OSError, CertificateProblem.

    A host of a site is known by the id in its certificate: under another one made here it would
    be a stranger who pulses, and the host itself would be taken for dead.
    """
    path, certificate = state_dir / "host-id", tls_dir / CERTIFICATE
    if not Certificates.is_here(tls_dir):
        return keep_word(path)[0]
    found = read_word(path)
    try:
        certified = read_certificate(certificate).host
    except CertificateProblem as problem:
        if found:
            return found  # Each link that does not come about says what is wrong.
        raise CertificateProblem(f"{path} is lost, and so is this host's id: {problem}") from None
    if not found and not is_word(certified):
        raise CertificateProblem(f"{path} is lost, and {certificate} holds no host's id")
    if not found:
        log.warning("%s was lost: this host is %s, as %s says", path, certified, certificate)
        return keep_word(path, certified)[0]
    if found != certified:
        log.error(
            "%s says that this host is %s, and %s that it is %s: controllers refuse it until both"
            " say the same. Put the right id back, or join anew",
            *(path, found, certificate, certified),
        )
    return found
