"""The words every other room shares: frozen values, no I/O, no clock, no randomness."""
