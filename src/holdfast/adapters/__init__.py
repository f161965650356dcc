"""Touches the world: one folder per port, one file per product.

Here: all that calls libvirt, QEMU, the kernel, a disk or a network; the only place where a proof of
death is made.
Not here: judgement about what it means, and decisions about what to do.
"""
