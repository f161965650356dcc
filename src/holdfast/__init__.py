"""Holdfast keeps virtual machines in service on hosts that fail."""

__version__ = "0.1.0"
