"""What keeps VMs on this host, one file a product."""
