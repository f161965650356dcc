"""Who mends: one file for each way to do something about a fault of this host."""
