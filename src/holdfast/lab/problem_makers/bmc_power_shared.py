"""A host loses its power, and its BMC with it, as where both hang on one supply."""

from holdfast.lab.bmc.board import Bmc


def cut_shared_power(bmc: Bmc) -> int:
    """Cut both; returns the ns of the instant just before. `bmc.begin()` gives the BMC power."""
    cut_ns = bmc.host.power_cut()
    bmc.power_cut()
    return cut_ns
