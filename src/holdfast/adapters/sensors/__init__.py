"""Sensors: what looks at the kernel, QEMU and libvirt, and says what it saw."""
