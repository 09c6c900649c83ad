"""Signatures that were verified once in this process are known to be good: many nodes on one machine ask about the same ones.

Verifying is a function of key, message and signature alone, so what it said once it says for ever, and that one simulated
node has asked tells another nothing that it would not find out itself. What is refused is verified anew each time. The same holds
of whether a key is a point of the curve.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from nacl import bindings

_opened = lru_cache(maxsize=100_000)(bindings.crypto_sign_open)
_valid = lru_cache(maxsize=10_000)(bindings.crypto_core_ed25519_is_valid_point)


@contextmanager
def remembered() -> Iterator[None]:
    """For the block, libsodium is asked once about each (signature and message, key), and about each key."""
    plain = bindings.crypto_sign_open, bindings.crypto_core_ed25519_is_valid_point
    bindings.crypto_sign_open, bindings.crypto_core_ed25519_is_valid_point = _opened, _valid
    try:
        yield
    finally:
        bindings.crypto_sign_open, bindings.crypto_core_ed25519_is_valid_point = plain
