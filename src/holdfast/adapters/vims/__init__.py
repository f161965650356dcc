"""The virtual infrastructure managers that can be above us: a plug-in per product."""
