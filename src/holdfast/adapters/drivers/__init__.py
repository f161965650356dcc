"""Drivers: how to talk to one product, where plug-ins of several ports need it.

Here: QEMU's processes in /proc, pidfds, the process connector, the libvirt workers, and what
several products share.
Not here: plug-ins; what a port asks for is made beside, out of these.
"""
