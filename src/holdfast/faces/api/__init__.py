"""The HTTP API of the controller: one table of routes, and what serves it."""
