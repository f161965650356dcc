"""Where the truth about VMs is kept: a plug-in per kind of store."""
