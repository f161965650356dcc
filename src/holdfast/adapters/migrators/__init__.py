"""Moves of running VMs between hosts."""
