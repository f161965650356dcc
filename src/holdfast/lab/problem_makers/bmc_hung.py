"""A BMC hangs: its network takes what is sent, and nothing is answered."""

from holdfast.lab.bmc.board import Bmc


def hang_bmc(bmc: Bmc) -> int:
    """Returns the ns of the instant just before."""
    return bmc.hang()


def wake_bmc(bmc: Bmc) -> int:
    """It goes on; returns the ns of the instant just before."""
    return bmc.go_on()
