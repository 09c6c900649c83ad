"""What all handlers share over HTTP: bodies, errors as problems, who calls, paging, limits."""
