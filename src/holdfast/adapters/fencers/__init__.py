"""What switches a host off: a plug-in per way."""
