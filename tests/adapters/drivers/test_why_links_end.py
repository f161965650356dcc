"""Why a link was not had is told in words, and not as Python says it."""

import errno

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidHandshake
from websockets.frames import Close

from holdfast.adapters.drivers.dials import why_ended
from holdfast.ports.link import LinkRefused


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ConnectionRefusedError(111, "Connect call failed ('10.0.0.1', 7311)"),
            "nothing listens there",
        ),
        (FileNotFoundError(2, "No such file or directory"), "nothing listens there"),
        (TimeoutError("timed out during opening handshake"), "no answer in 5 s"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "its address cannot be reached"),
        (ConnectionClosedError(None, None), "it hung up"),
        (ConnectionClosedError(Close(1008, "h4 is revoked"), None), "h4 is revoked"),
        (ConnectionResetError(104, "Connection reset by peer"), "it hung up"),
        (InvalidHandshake("x"), "what listens there is no controller"),
        (LinkRefused("its certificate has expired"), "its certificate has expired"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (ConnectionError("the agent is busy"), "the agent is busy"),
    ],
)
def test_the_end_of_a_link_is_told_in_words(error: Exception, words: str) -> None:
    assert why_ended(error) == words
