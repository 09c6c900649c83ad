"""Makes the test vectors beside this folder: attacks on the federation, one a file, from fixed seeds."""
