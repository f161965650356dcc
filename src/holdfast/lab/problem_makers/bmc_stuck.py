"""A BMC takes every order and does nothing: it says that its host is on, for ever."""

import time

from holdfast.lab.bmc.board import Bmc


def stick_bmc(bmc: Bmc) -> int:
    """Returns the ns of the instant just before."""
    at_ns = time.monotonic_ns()
    bmc.chassis.break_it(is_stuck=True)
    return at_ns


def mend_bmc(bmc: Bmc) -> int:
    """It is well, and answers at once; returns the ns of the instant just before."""
    at_ns = time.monotonic_ns()
    bmc.chassis.break_it()
    return at_ns
