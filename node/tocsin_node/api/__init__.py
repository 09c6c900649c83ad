"""The handlers, one file a noun: read the request, ask a service, answer."""
