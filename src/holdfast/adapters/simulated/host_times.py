"""How long what befalls a VM takes, and how its process ends, as tried on real QEMU and libvirt."""

KILLED, SEGV_WITH_CORE = 9, 11 | 0x80
# Milliseconds.
FIRST_SIGN_MS = {"kill": 0.2, "segv": 4.0, "terminate": 1.7, "poweroff": 41.0, "destroy": 24.0}
LIBVIRT_SEES_MS = {"kill": 207.0, "segv": 207.0, "terminate": 204.0, "poweroff": 244.0}
DESTROY_WORD_MS, SAVED_MS, SAVED_WORD_MS, AWAY_MS, AWAY_WORD_MS = 240.0, 190.0, 391.0, 909.0, 1110.0
FREE_MS_PER_GB = 40.0
PING_MS, MEASURE_MS = 2_000.0, 1_000.0
SILENT_AFTER_MS = 500.0
