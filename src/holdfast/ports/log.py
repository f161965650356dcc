"""How our programs write their log: to standard error, with the time where nobody else adds it."""

import logging
import os
import sys

FORMAT = "{name}: %(levelname)s %(message)s"
TIMED = "%(asctime)s.%(msecs)03d "
TIME = "%Y-%m-%d %H:%M:%S"


def write_log(name: str) -> None:
    """The journal of systemd has its own times; a terminal and a file of ours have not."""
    is_journal = "JOURNAL_STREAM" in os.environ
    text = FORMAT.format(name=name)
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format=text if is_journal else TIMED + text,
        datefmt=TIME,
    )
