"""The hand tool: `tocsin`, a client of a node over HTTP."""
