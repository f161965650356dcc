"""Links as WebSockets: over a Unix socket of this host, or over TLS to a controller elsewhere."""

import contextlib
import errno
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    WebSocketException,
)
from websockets.frames import Close

from holdfast.adapters.drivers.certificates import CertificateProblem, Certificates, explain
from holdfast.ports.link import Dial, LinkRefused

OPEN_LIMIT_S = 5.0
CLOSE_LIMIT_S = 1.0
PING_S = 5.0  # A peer that is frozen or cut off is missed after two of these.
MESSAGE_BYTES = 8 << 20
NOBODY = "nothing listens there"
_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EHOSTDOWN)
LINK_ENDED = (OSError, TimeoutError, EOFError, WebSocketException)


def why_ended(error: BaseException, limit_s: float = OPEN_LIMIT_S) -> str:
    """Why a link was not had or broke off, for people: what Python says of it helps nobody."""
    match error:
        case LinkRefused():
            return str(error)
        case ConnectionRefusedError() | FileNotFoundError():
            return NOBODY
        case TimeoutError():
            return f"no answer in {limit_s:g} s"
        case ConnectionClosed(rcvd=Close(reason=str(said))) if said:
            return said  # Why the other side hung up, in its own words.
        case ConnectionClosed() | EOFError() | ConnectionResetError() | BrokenPipeError():
            return "it hung up"
        case InvalidHandshake():
            return "what listens there is no controller"
        case OSError(errno=int(number)) if number in _UNREACHABLE:
            return "its address cannot be reached"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def unix_dial(name: str, path: Path) -> Dial:
    @contextlib.asynccontextmanager
    async def dialed() -> AsyncIterator[ClientConnection]:
        async with unix_connect(
            str(path), compression=None, max_size=MESSAGE_BYTES, open_timeout=OPEN_LIMIT_S
        ) as link:
            yield link

    return Dial(name=name, open=dialed)


def tls_dial(name: str, address: str, port: int, find: Callable[[], Certificates]) -> Dial:
    """Both sides show their certificates; the other one must be a controller's. `find` is asked
    at each dialing, and may raise CertificateProblem: they may come later, and are renewed."""

    @contextlib.asynccontextmanager
    async def dialed() -> AsyncIterator[ClientConnection]:
        try:
            certificates = find()
            own = certificates.own_problem()
        except CertificateProblem as problem:
            raise LinkRefused(str(problem)) from None
        if own:
            raise LinkRefused(own)
        host = f"[{address}]" if ":" in address else address
        opening = connect(
            f"wss://{host}:{port}/",
            ssl=certificates.client_context(),
            server_hostname=address,
            compression=None,
            max_size=MESSAGE_BYTES,
            open_timeout=OPEN_LIMIT_S,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            close_timeout=CLOSE_LIMIT_S,
            proxy=None,
        )
        try:
            link = await opening
        except ssl.SSLError as error:
            raise LinkRefused(explain(error, f"controller {name}")) from None
        except InvalidMessage as error:
            # TLS 1.3 lets the other side look at our certificate after we think all is well.
            if not isinstance(error.__cause__, EOFError):
                raise
            text = f"controller {name} hangs up: it does not accept this host's certificate"
            raise LinkRefused(f"{text}, or is just ending") from None
        try:
            certificates.check_controller(link.transport.get_extra_info("ssl_object"))
            yield link
        except CertificateProblem as problem:
            raise LinkRefused(str(problem)) from None
        finally:
            await link.close()

    return Dial(name=name, open=dialed)
