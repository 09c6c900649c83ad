"""Sections 4 and 13 of PROTOCOL.md: signed notes, trees, witnesses."""

import re
from collections.abc import Sequence

from tests.federation.second_reader.basics import MOST, sha, signed_by, unbase64, vkey

WITNESS = re.compile(r"old (0|[1-9][0-9]{0,15})\n((?:[^\n]+\n)*)\n(.*)", re.DOTALL)


def lines(note: bytes) -> tuple[str, list[tuple[str, bytes]]] | None:
    """P-40: the signed text, and the name with the raw signature of each line below it."""
    try:
        text = note.decode()
    except UnicodeDecodeError:
        return None
    body, blank, below = text.rpartition("\n\n")
    listed = below.removesuffix("\n").split("\n")
    sound = len(note) <= 16_384 and blank and below.endswith("\n") and len(listed) <= 64
    if not sound or any(ord(c) < 32 and c != "\n" for c in text):
        return None
    given = []
    for line in listed:
        form = re.fullmatch(r"— ([^\s+]+) (\S+)", line)
        raw = unbase64(form[2]) if form else None
        if form is None or raw is None or len(raw) < 5:
            return None
        given.append((form[1], raw))
    return body + "\n", given


def checkpoint(note: bytes, key: str) -> tuple[str | None, int, bytes]:
    """P-40 to P-42: the code, or None with size and root."""
    parts, verifier = lines(note), vkey(key, 1)
    if parts is None:
        return "note-malformed", 0, b""
    assert verifier is not None
    (body, given), (name, public) = parts, verifier
    ours = [raw for by, raw in given if by == name and raw[:4].hex() == key.split("+")[1]]
    if not ours:
        return "note-unsigned", 0, b""
    if not signed_by(public, body.encode(), ours[0][4:]):
        return "bad-signature", 0, b""
    says = body.removesuffix("\n").split("\n")
    root = unbase64(says[2], 32) if len(says) == 3 else None
    if (
        root is None
        or not re.fullmatch(r"0|[1-9][0-9]{0,15}", says[1])
        or int(says[1]) >= MOST
        or not says[0]
    ):
        return "checkpoint-malformed", 0, b""
    return (None if says[0] == name else "wrong-origin"), int(says[1]), root


def cosigned_at(note: bytes, key: str, now: int) -> int | None:
    """P-160 to P-162: when this witness says that it cosigned the note, the latest of its lines; None where none counts."""
    parts, verifier = lines(note), vkey(key, 4)
    assert verifier is not None
    if parts is None:
        return None
    (body, given), (name, public), said = parts, verifier, []
    for by, raw in given:
        when = int.from_bytes(raw[4:12], "big")
        text = f"cosignature/v1\ntime {when}\n{body}".encode()
        mine = by == name and raw[:4].hex() == key.split("+")[1]
        if mine and len(raw) == 76 and signed_by(public, text, raw[12:]) and when <= now + 300:
            said.append(when)
    return max(said, default=None)


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """RFC 6962, 2.1.1, by RFC 9162's algorithm: the root that an audit path leads to."""
    fn, sn, at = index, size - 1, leaf
    for other in path:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            at = sha(b"\1" + other + at)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            at = sha(b"\1" + at + other)
        fn, sn = fn >> 1, sn >> 1
    return at if sn == 0 and index < size else None


def roots_from_path(old: int, new: int, path: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """RFC 6962, 2.1.2, by RFC 9162's algorithm, 0 < old < new: the two roots; the first hash is never left out."""
    if not path or not 0 < old < new:
        return None
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = path[0]
    for other in path[1:]:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            first, second = sha(b"\1" + other + first), sha(b"\1" + other + second)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = sha(b"\1" + second + other)
        fn, sn = fn >> 1, sn >> 1
    return (first, second) if sn == 0 else None


def consistent(old: tuple[int, bytes], new: tuple[int, bytes], path: Sequence[bytes]) -> bool:
    """RFC 6962, 2.1.2, as C2SP tlog-witness sends it: between equals and from 0 without a hash."""
    (size, root), (larger, top) = old, new
    if size in {0, larger}:
        return not path
    whole = [root, *path] if size & (size - 1) == 0 else [*path]
    return roots_from_path(size, larger, whole) == (root, top)


def submission(body: bytes, key: str, size: int, root: bytes) -> str | None:
    """P-163 to P-168, for the one log that is witnessed, cosigned last at `size` and `root`."""
    try:
        parts = WITNESS.fullmatch(body.decode())
    except UnicodeDecodeError:
        return "submission-malformed"
    if parts is None or int(parts[1]) >= MOST:
        return "submission-malformed"
    path = [unbase64(line, 32) for line in parts[2].split("\n")[:-1]]
    if len(path) > 63 or None in path or "\r" in parts[2]:
        return "submission-malformed"
    code, claimed, top = checkpoint(parts[3].encode(), key)
    if code == "note-malformed":
        return "submission-malformed"
    if code is not None:
        return "not-signed"
    old = int(parts[1])
    if old > claimed:
        return "old-size"
    root = root if size else sha(b"")
    if old != size or (claimed == size and top != root):
        return "conflict"
    hashes = [each for each in path if each is not None]
    return None if consistent((old, root), (claimed, top), hashes) else "inconsistent"
