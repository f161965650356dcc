"""What resets a host that nobody pets in time: a plug-in per way."""
