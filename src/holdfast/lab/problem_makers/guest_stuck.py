"""A guest's CPUs spin in a real-time loop, so that nothing else in it runs, its agent included."""

from holdfast.lab.guests import Guest


def starve_guest(guest: Guest) -> int:
    """Make every vCPU of the guest spin for ever; returns the ns of the instant just before."""
    return guest.begin(["/bin/starve"])
