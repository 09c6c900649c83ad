"""Signatures that were verified once in this process are known to be good: many nodes on one machine ask about the same ones.

Verifying is a function of key, message and signature alone, so what it said once it says for ever, and that one simulated
node has asked tells another nothing that it would not find out itself. What is refused is verified anew each time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from nacl import bindings

_opened = lru_cache(maxsize=100_000)(bindings.crypto_sign_open)


@contextmanager
def remembered() -> Iterator[None]:
    """For the block, libsodium is asked once about each (signature and message, key)."""
    plain = bindings.crypto_sign_open
    bindings.crypto_sign_open = _opened
    try:
        yield
    finally:
        bindings.crypto_sign_open = plain
