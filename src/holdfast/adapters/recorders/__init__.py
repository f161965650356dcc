"""Flight recorders: where a VM's last minutes are kept while it lives."""
