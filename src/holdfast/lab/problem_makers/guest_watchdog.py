"""A guest's watchdog is no longer petted, and fires; the guest itself runs on until it does."""

from holdfast.lab.guests import Guest


def stop_petting_watchdog(guest: Guest, timeout_s: int = 2) -> int:
    """Arm the guest's watchdog with its first and last pet; returns the ns just before the pet.

    It fires `timeout_s` later, and does what the guest's definition says (`watchdog_action`).
    """
    arm = ["watchdog", "-F", "-T", str(timeout_s), "-t", "3600", "/dev/watchdog"]
    return guest.begin(["/bin/busybox", *arm])
