"""The house that runs: storage, services, the HTTP faces and the links to other systems."""
