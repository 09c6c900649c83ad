"""The plaintext's frame: a flag, the length, the content, zeros up to a length that many contents share.

Padmé leaves so few lengths that a ciphertext tells little of its report's size, for at most 12 % more bytes. The zeros
are checked to the last one: where a reader would pass over them, a second message could hide.
"""

from tocsin_federation.errors import EntryRefused

MAX_CONTENT_BYTES = 1024 * 1024
MIN_PADDED_BYTES = 1024
PREFIX_BYTES = 5  # flag, length

_RAW_FLAG = 0  # 1 is reserved for compressed content


def padded_length(length: int) -> int:
    """Padmé (Nikitin et al., PURBs, 2019): at most 12 % more, and only O(log log) bits of the length show.

    The floor is 1,024 bytes.
    """
    if length <= MIN_PADDED_BYTES:
        return MIN_PADDED_BYTES
    exponent = length.bit_length() - 1
    zero_bits = exponent - exponent.bit_length()
    mask = (1 << zero_bits) - 1
    return (length + mask) & ~mask


def pad(content: bytes) -> bytes:
    """Flag, length, content, zeros."""
    length = PREFIX_BYTES + len(content)
    return b"%c%s%s%s" % (
        _RAW_FLAG,
        len(content).to_bytes(4, "big"),
        content,
        bytes(padded_length(length) - length),
    )


def unpad(padded: bytes) -> bytes:
    """The content that `pad` wrapped. Raises: EntryRefused `padding`, `unsupported` (another flag)."""
    if len(padded) < MIN_PADDED_BYTES:
        raise EntryRefused("padding")
    if padded[0] != _RAW_FLAG:
        raise EntryRefused("unsupported")
    end = PREFIX_BYTES + int.from_bytes(padded[1:PREFIX_BYTES], "big")
    if end > MAX_CONTENT_BYTES + PREFIX_BYTES or padded_length(end) != len(padded):
        raise EntryRefused("padding")
    if padded.count(0, end) != len(padded) - end:
        raise EntryRefused("padding")
    return padded[PREFIX_BYTES:end]
