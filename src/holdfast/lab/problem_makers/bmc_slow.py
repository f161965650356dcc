"""A BMC takes long for each answer, as many do while they are busy."""

import time

from holdfast.lab.bmc.board import Bmc


def slow_bmc(bmc: Bmc, late_s: float) -> int:
    """Returns the ns of the instant just before; mend_bmc makes it well."""
    at_ns = time.monotonic_ns()
    bmc.chassis.break_it(late_s=late_s)
    return at_ns
