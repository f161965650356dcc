"""A lab host's BMC: real IPMI and Redfish, beside the host, that live on when the host is dead."""
