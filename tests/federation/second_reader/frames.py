"""Section 7 of PROTOCOL.md: the body of an answer with entries."""

from tests.federation.second_reader.basics import MOST


def frames(start: int, body: bytes) -> str | None:
    """P-70 to P-72, for an answer of at most 512 entries and 8 MiB."""
    if len(body) > 8 * 2**20:
        return "frames-oversized"
    at, due, count = 0, start, 0
    while at < len(body):
        kind, number = body[at], int.from_bytes(body[at + 1 : at + 9], "big")
        if kind > 1:
            return "frames-malformed"
        if len(body) < at + 9:
            return "frames-truncated"
        if number >= MOST:
            return "frames-malformed"
        if number < due:
            return "frames-disordered"
        at += 9
        if kind == 0:
            return None if at == len(body) else "frames-trailing"
        due, count = number + 1, count + 1
        if count > 512:
            return "frames-oversized"
        for width, most in ((4, 16_384), (2, 4096), (4, 1_081_360)):
            if len(body) < at + width:
                return "frames-truncated"
            length = int.from_bytes(body[at : at + width], "big")
            if length > most:
                return "frames-oversized"
            at += width + length
            if len(body) < at:
                return "frames-truncated"
    return "frames-truncated"
