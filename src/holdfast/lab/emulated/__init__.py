"""Emulated hosts: QEMU machines with a whole kernel, whose hardware can be broken for real."""
