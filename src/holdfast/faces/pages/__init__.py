"""Pages that a person reads, made from facts: no page asks, waits or decides."""
