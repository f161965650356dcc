"""Who passes alarms on to people and other systems: a plug-in per way."""
