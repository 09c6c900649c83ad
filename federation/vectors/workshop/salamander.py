"""One ciphertext, one tag, two keys: the attack that a key commitment stops, built for real.

XChaCha20-Poly1305 does not commit to its key. Poly1305 is a polynomial in the ciphertext's blocks over a prime field,
so two free blocks are two unknowns in two linear equations (one for each key): solved, the one ciphertext is authentic
under both keys and decrypts to two different texts (Dodis et al., "Fast Message Franking", 2018, and Len et al.,
"Partitioning Oracle Attacks", 2021, tell the history).
"""

import struct
from collections.abc import Sequence

import nacl.bindings as sodium
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

_P = 2**130 - 5
_NONCE = bytes(24)


def two_faced(first: bytes, second: bytes, keys: tuple[bytes, bytes], free: tuple[int, int]) -> bytes:
    """The ciphertext (with tag) that opens to `first` under the first key.

    `second` is what it opens to under the second key wherever `second` is not zero; there `first` gives way. `free`
    are the two 16-byte blocks that are spent on the equations: both texts hold noise there. Lengths are equal and a
    multiple of 16.
    """
    streams = [_stream(key, len(first)) for key in keys]
    ct = bytearray(a ^ k for a, k in zip(first, streams[0], strict=True))
    for i, b in enumerate(second):
        if b:
            ct[i] = b ^ streams[1][i]
    for block in free:
        ct[16 * block : 16 * block + 16] = bytes(16)
    pads = [_poly1305_key(key) for key in keys]
    for attempt in range(1 << 16):
        target = int.from_bytes(struct.pack("<4I", attempt, 7, 7, 7), "little")
        solved = _solve(bytes(ct), pads, free, target)
        if solved is not None:
            for block, value in zip(free, solved, strict=True):
                ct[16 * block : 16 * block + 16] = value.to_bytes(16, "little")
            return bytes(ct) + target.to_bytes(16, "little")
    raise AssertionError("about one attempt in sixteen succeeds")


def _solve(
    ct: bytes, pads: Sequence[tuple[int, int]], free: tuple[int, int], tag: int
) -> tuple[int, int] | None:
    """The two block values that give both keys this tag, if they fit in 16 bytes."""
    lengths = struct.pack("<QQ", 0, len(ct))
    blocks = [ct[i : i + 16] for i in range(0, len(ct), 16)] + [lengths]
    rows = []
    for r, s in pads:
        known, powers = 0, []
        for i, block in enumerate(blocks):
            power = pow(r, len(blocks) - i, _P)
            if i in free:
                powers.append(power)
            known += (int.from_bytes(block, "little") + (1 << 128)) * power
        rows.append((powers[0], powers[1], ((tag - s) % 2**128 - known) % _P))
    (a, b, e), (c, d, f) = rows
    inverse = pow(a * d - b * c, -1, _P)
    x, y = (e * d - b * f) * inverse % _P, (a * f - e * c) * inverse % _P
    return (x, y) if x < 2**128 and y < 2**128 else None


def _stream(key: bytes, length: int) -> bytes:
    """The keystream of the message (block 1 on): what zeros are encrypted to."""
    return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(bytes(length), None, _NONCE, key)[:length]


def _poly1305_key(key: bytes) -> tuple[int, int]:
    """(r, s) of the one-time authenticator: the first 32 bytes of block 0."""
    cipher = Cipher(algorithms.ChaCha20(_hchacha20(key), bytes(16)), None)
    block = cipher.encryptor().update(bytes(32))
    r = int.from_bytes(block[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    return r, int.from_bytes(block[16:], "little")


def _hchacha20(key: bytes) -> bytes:
    """The subkey for a nonce of zeros (draft-irtf-cfrg-xchacha 2.2)."""
    state = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *struct.unpack("<8I", key), 0, 0, 0, 0]
    for _ in range(10):
        for quarter in (
            (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
            (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
        ):  # fmt: skip
            _quarter_round(state, *quarter)
    return struct.pack("<8I", *state[:4], *state[12:])


def _quarter_round(x: list[int], a: int, b: int, c: int, d: int) -> None:
    for i, j, k, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        x[i] = (x[i] + x[j]) & 0xFFFFFFFF
        x[k] ^= x[i]
        x[k] = (x[k] << bits | x[k] >> 32 - bits) & 0xFFFFFFFF
