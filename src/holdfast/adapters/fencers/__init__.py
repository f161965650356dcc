"""What switches a host off, and reads its power back: a plug-in per way."""
