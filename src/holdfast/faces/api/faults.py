"""Faults of ours are logged with where they happened, and only so many: no caller fills the log."""

import logging
from collections import deque
from collections.abc import Callable

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import PayloadAccessError, RequestPayloadError

from holdfast.ports import clock

log = logging.getLogger(__name__)

MOST_TOLD, WITHIN_S = 10, 60.0

# What a body that is broken on its way ends with, wherever it is read: the sender's own mistake.
BROKEN_BODY = (HttpProcessingError, RequestPayloadError)
_OF_OTHERS = (*BROKEN_BODY, PayloadAccessError, ConnectionError)


class Faults:
    def __init__(self, now_s: Callable[[], float] = clock.monotonic_s) -> None:
        self._now_s = now_s
        self._told_at: deque[float] = deque(maxlen=MOST_TOLD)
        self.untold = 0

    def note(self, what: str, error: BaseException | None) -> None:
        if isinstance(error, _OF_OTHERS):
            log.debug("%s: %s", what, error)
            return
        now = self._now_s()
        if len(self._told_at) == MOST_TOLD and now < self._told_at[0] + WITHIN_S:
            self.untold += 1
            return
        if self.untold:
            log.error("%d faults more were not told here", self.untold)
            self.untold = 0
        self._told_at.append(now)
        log.error("%s", what, exc_info=error)
