"""How reports travel: identity, log, envelope and peering as pure functions. No I/O, clock or event loop."""
