// The rooms shown here are in the clear: the client needs no cryptography.
