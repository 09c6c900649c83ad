"""A second reader of the protocol, written from PROTOCOL.md and the documents it names, and from nothing else.

It shares no code with the package: json, hashlib, PyNaCl's bindings, and the oracle for X-Wing beside it. Each function
returns None when what it was given may be taken, else the code of the first rule that does not hold.
"""

import json
import re
from base64 import b32decode, b64decode, b64encode
from binascii import Error
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b, sha256
from typing import Any

import nacl.bindings as sodium
import rfc8785
from cryptography.exceptions import InvalidTag
from nacl.exceptions import BadSignatureError, CryptoError
from tests.federation import x_wing

SMALLEST_PT, WRAP, MOST = 1024, 1168, 2**53


def sha(raw: bytes) -> bytes:
    return sha256(raw).digest()


def unbase64(text: str) -> bytes | None:
    """Section 0: padded, in its one spelling."""
    try:
        raw = b64decode(text, validate=True)
    except (Error, ValueError):
        return None
    return raw if b64encode(raw).decode() == text else None


def node_bytes(node_id: str) -> bytes:
    return b32decode(node_id[2:].upper() + "====")


def signed_by(public: bytes, message: bytes, signature: bytes) -> bool:
    """P-12: as libsodium does."""
    try:
        sodium.crypto_sign_open(signature + message, public)
    except (BadSignatureError, ValueError, CryptoError):
        return False
    return sodium.crypto_core_ed25519_is_valid_point(public)


def canonical(raw: bytes, levels: int = 32) -> Any:
    """P-10. Raises ValueError."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) != len(items) or not all(name.isascii() for name in made):
            raise ValueError(raw)
        return made

    def no(_text: str) -> Any:
        raise ValueError(raw)

    depth = most = 0
    for byte in re.sub(rb'"(?:[^"\\]|\\.)*"', b"", raw):
        depth += (byte in b"[{") - (byte in b"]}")
        most = max(most, depth)
    if most > levels:
        raise ValueError(raw)
    value = json.loads(raw.decode(), object_pairs_hook=pairs, parse_float=no, parse_constant=no)
    if rfc8785.dumps(value) != raw:
        raise ValueError(raw)
    return value


# Section 4 -------------------------------------------------------------------------------------------------------


def checkpoint(note: bytes, vkey: str) -> tuple[str | None, int, bytes]:
    """P-40 to P-42: the code, or None with size and root."""
    try:
        text = note.decode()
    except UnicodeDecodeError:
        return "note-malformed", 0, b""
    body, blank, below = text.rpartition("\n\n")
    lines = below.removesuffix("\n").split("\n")
    sound = len(note) <= 16_384 and blank and below.endswith("\n") and len(lines) <= 64
    if not sound or any(ord(c) < 32 and c != "\n" for c in text):
        return "note-malformed", 0, b""
    name, key_id, key = vkey.split("+", 2)
    public = unbase64(key)
    assert public is not None
    verdict = "note-unsigned"
    for line in lines:
        form = re.fullmatch(r"— ([^\s+]+) (\S+)", line)
        raw = unbase64(form[2]) if form else None
        if form is None or raw is None or len(raw) < 5:
            return "note-malformed", 0, b""
        if verdict == "note-unsigned" and form[1] == name and raw[:4].hex() == key_id:
            good = signed_by(public[1:], (body + "\n").encode(), raw[4:])
            verdict = "signed" if good else "bad-signature"
    if verdict != "signed":
        return verdict, 0, b""
    says = body.split("\n")
    root = unbase64(says[2]) if len(says) == 3 else None
    if root is None or len(root) != 32 or not re.fullmatch(r"0|[1-9][0-9]{0,15}", says[1]) or not says[0]:
        return "checkpoint-malformed", 0, b""
    if int(says[1]) >= MOST:
        return "checkpoint-malformed", 0, b""
    return (None if says[0] == name else "wrong-origin"), int(says[1]), root


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


# Section 5 -------------------------------------------------------------------------------------------------------

INPUT = re.compile(
    r'tocsin=(?P<params>\("@method" "@authority" "@path" "@query" "content-digest" "tocsin-dest"\)'
    r';created=(?P<created>0|[1-9][0-9]*);keyid="(?P<keyid>n1[a-z2-7]{52}#[0-9a-f]{16})"'
    r';nonce="(?P<nonce>[A-Za-z0-9+/]{22}==)";alg="ed25519";tag="tocsin/1")'
)


def request(
    *,
    method: str,
    authority: str,
    path: str,
    query: str,
    body: bytes,
    headers: Mapping[str, str],
    me: str,
    now: datetime,
    keys: Mapping[str, bytes],
    seen: Sequence[Mapping[str, str]],
) -> str | None:
    """P-50 to P-56."""
    names = ("Content-Digest", "Tocsin-Dest", "Signature-Input", "Signature")
    if any(name not in headers for name in names):
        return "auth-missing"
    given = INPUT.fullmatch(headers["Signature-Input"])
    signature = re.fullmatch(r"tocsin=:([^:]+):", headers["Signature"])
    raw = unbase64(signature[1]) if signature else None
    if given is None or raw is None or len(raw) != 64 or max(len(headers[n]) for n in names) > 512:
        return "auth-malformed"
    if headers["Tocsin-Dest"] != me:
        return "wrong-destination"
    if abs(int(given["created"]) - now.timestamp()) > 120:
        return "clock-skew"
    if any((each["keyid"], each["nonce"]) == (given["keyid"], given["nonce"]) for each in seen):
        return "nonce-replayed"
    if given["keyid"] not in keys:
        return "key-unknown"
    digest = f"sha-256=:{b64encode(sha(body)).decode()}:"
    if headers["Content-Digest"] != digest:
        return "digest-mismatch"
    host = re.sub(r":(?:80|443)$", "", authority.lower())
    facts = [
        ("@method", method), ("@authority", host), ("@path", path), ("@query", f"?{query}"),
        ("content-digest", digest), ("tocsin-dest", me), ("@signature-params", given["params"]),
    ]  # fmt: skip
    base = "\n".join(f'"{name}": {value}' for name, value in facts).encode()
    return None if signed_by(keys[given["keyid"]], base, raw) else "bad-signature"


# Section 6 -------------------------------------------------------------------------------------------------------


def padded(length: int) -> int:
    """The Padmé length of L ≥ 1,024: below it 1,024."""
    if length <= SMALLEST_PT:
        return SMALLEST_PT
    top = length.bit_length() - 1
    spare = top - top.bit_length()
    return -(-length >> spare) << spare if spare > 0 else length


def body_key(header: Mapping[str, Any], data_key: bytes) -> tuple[bytes, bytes]:
    """K and kc."""
    bare = {name: value for name, value in header.items() if name != "enc"}
    ctx = sha(b"tocsin/1/ctx\0" + rfc8785.dumps(bare))
    salt = b64decode(header["enc"]["salt"])
    both = blake2b(salt + ctx, digest_size=64, key=data_key, person=b"tocsin/1/body").digest()
    return both[:32], both[32:]


def entry(
    *, leaf: bytes, wrap: bytes, ct: bytes, leaf_hash: bytes, origin: str, me: str, seeds: Sequence[bytes]
) -> str | None:
    """P-60 to P-69, for a header of a form that is known (P-62 is judged by `canonical` and the table alone)."""
    if len(leaf) > 16_384 or len(ct) > 1_081_360:
        return "too-large"
    if sha(b"\0" + leaf) != leaf_hash:
        return "hash-mismatch"
    try:
        header = canonical(leaf)
    except (ValueError, UnicodeDecodeError):
        return "not-canonical"
    if isinstance(header, dict) and None in (header.get(name, 0) for name in ("prev", "ref")):
        return "not-canonical"
    if (
        isinstance(header, dict)
        and isinstance(header.get("aud"), dict)
        and header["aud"].get("unnamed") is False
    ):
        return "not-canonical"
    if (bad := form(header)) is not None:
        return bad
    if header["by"] != origin:
        return "wrong-origin"
    if me not in header["aud"].get("nodes", [me]):
        return "not-addressed"
    if len(ct) != header["enc"]["n"] or sha(ct) != b64decode(header["enc"]["ct"]):
        return "ciphertext-mismatch"
    info = b"tocsin/1/wrap\0" + leaf_hash + node_bytes(origin) + node_bytes(me)
    data_key = unwrapped(wrap, info, seeds)
    if data_key is None:
        return "bad-wrap"
    key, commitment = body_key(header, data_key)
    if commitment != b64decode(header["enc"]["kc"]):
        return "commitment"
    try:
        pt = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(ct, None, bytes(24), key)
    except (CryptoError, ValueError):
        return "bad-ciphertext"
    if pt[:1] != b"\0":
        return "unsupported"
    length = int.from_bytes(pt[1:5], "big")
    whole = len(pt) == padded(5 + length) and 5 + length <= len(pt)
    return None if whole and not any(pt[5 + length :]) else "padding"


def unwrapped(wrap: bytes, info: bytes, seeds: Sequence[bytes]) -> bytes | None:
    for seed in seeds[:16] if len(wrap) == WRAP else ():
        try:
            return x_wing.open_wrap(seed, wrap, info)
        except (InvalidTag, ValueError):
            continue
    return None


KINDS = {
    "publish",
    "revoke",
    "ack",
    "remark",
    "call",
    "answer",
    "share",
    "complain",
    "receipt",
    "recall",
    "circle",
}
NAMES = {
    "receipt": "receipt",
    "recall": "recall",
    "circle": "circle",
}  # what the id begins with; elsewhere it is a report's
FIELDS = {"v", "t", "by", "id", "ver", "prev", "ref", "ts", "aud", "tlp", "enc"}
NODE = re.compile(r"n1[a-z2-7]{52}")


def form(header: Any) -> str | None:
    """P-62: a known version, kind, audience and suite; then the form of the table in section 6."""
    if not isinstance(header, dict):
        return "header-invalid"
    aud, enc = header.get("aud"), header.get("enc")
    later = (
        (isinstance(header.get("v"), int) and header["v"] != 1)
        or (isinstance(header.get("t"), str) and header["t"] not in KINDS)
        or (isinstance(aud, dict) and bool(aud) and not {"nodes", "circle", "unnamed"} & set(aud))
        or (isinstance(enc, dict) and isinstance(enc.get("suite"), int) and enc["suite"] != 1)
    )
    if later:
        return "unsupported"
    kind = header.get("t")
    answers = kind not in {"publish", "revoke", "circle"}
    try:
        good = (
            set(header) <= FIELDS
            and FIELDS - set(header) <= {"prev", "ref"}
            and NODE.fullmatch(header["by"]) is not None
            and (
                named(aud, header["by"])
                if "nodes" in aud
                else aud == {"unnamed": True}
                and kind in {"publish", "revoke", "remark", "call", "recall", "circle"}
                if "unnamed" in aud
                else circle(aud) and kind in {"publish", "revoke"}
            )
            and re.fullmatch(rf"{NAMES.get(kind, 'incident')}--[0-9a-f-]{{36}}", header["id"]) is not None
            and header["ver"] >= 1
            and header["ts"] >= 0
            and header["tlp"] in {"clear", "green", "amber", "amber+strict", "red"}
            and ("ref" in header) == answers
            and not ("prev" in header and (header["ver"] == 1 or answers))
            and all(len(unbase64(header[n]) or b"") == 32 for n in ("prev", "ref") if n in header)
            and set(enc) == {"suite", "salt", "kc", "ct", "n"}
            and [len(unbase64(enc[n]) or b"") for n in ("salt", "kc", "ct")] == [24, 32, 32]
            and enc["n"] >= 0
        )
    except (TypeError, KeyError, AttributeError):
        return "header-invalid"
    return None if good else "header-invalid"


def named(aud: Any, by: str) -> bool:
    """1 to 256 NodeIDs, ascending, each once, the author not among them."""
    nodes = aud["nodes"]
    several = 1 <= len(nodes) <= 256 and all(NODE.fullmatch(node) for node in nodes)
    return set(aud) == {"nodes"} and several and nodes == sorted(set(nodes)) and by not in nodes


def circle(aud: Any) -> bool:
    """P-210: the circle, its epoch, the author's count in it, and from the second entry on what came before."""
    hashes = [unbase64(aud[name]) for name in ("circle", "cprev") if name in aud]
    return (
        set(aud) in ({"circle", "epoch", "cseq"}, {"circle", "epoch", "cseq", "cprev"})
        and all(len(each or b"") == 32 for each in hashes)
        and aud["epoch"] >= 0
        and aud["cseq"] >= 1
        and ("cprev" in aud) == (aud["cseq"] > 1)
    )


# Section 11 ------------------------------------------------------------------------------------------------------


def proof(raw: bytes, *, statements: Any, expected: str | None) -> str | None:
    """P-130 to P-134. `statements`: judges a chain of envelopes by section 2, and gives them as JSON, or a code."""
    parts = re.fullmatch(
        rb"c2sp\.org/tlog-proof@v1\nextra (?P<extra>\S+)\nindex (?P<index>0|[1-9][0-9]*)\n(?P<path>(?:\S{44}\n)*)\n(?P<note>.*)",
        raw,
        re.DOTALL,
    )
    extra = unbase64(parts["extra"].decode("latin-1")) if parts else None
    path = [unbase64(line.decode("latin-1")) for line in parts["path"].split()] if parts else []
    try:
        more = canonical(extra or b"")
    except (ValueError, UnicodeDecodeError):
        return "proof-malformed"
    if parts is None or len(path) > 53 or any(len(each or b"") != 32 for each in path):
        return "proof-malformed"
    if set(more) - {"content", "data_key"} != {"chain", "leaf", "v"} or ("content" in more) != (
        "data_key" in more
    ):
        return "proof-malformed"
    said = statements([b64decode(envelope) for envelope in more["chain"]], expected)
    if isinstance(said, str):
        return said
    node_id, chain = said
    leaf = b64decode(more["leaf"])
    try:
        header = canonical(leaf)
    except ValueError:
        return "not-canonical"
    if (bad := form(header)) is not None:
        return bad
    if header["by"] != node_id:
        return "wrong-origin"
    verdict, size, root, gen = "note-unsigned", 0, b"", 0
    for statement in chain:
        code, found, top = checkpoint(parts["note"], statement["log"]["vkey"])
        if code != "note-unsigned":
            verdict, size, root, gen = code or "signed", found, top, statement["log"]["gen"]
            break
    if verdict != "signed":
        return verdict
    index = int(parts["index"])
    voids = [s["void"] for s in chain if s.get("void") and s["void"]["gen"] == gen]
    if any(index >= void["size"] for void in voids):
        return "proof-void"
    if root_from_path(sha(b"\0" + leaf), index, size, [p for p in path if p is not None]) != root:
        return "proof-mismatch"
    if "content" in more:
        key, commitment = body_key(header, b64decode(more["data_key"]))
        if commitment != b64decode(header["enc"]["kc"]):
            return "commitment"
        content = b64decode(more["content"])
        pt = (b"\0" + len(content).to_bytes(4, "big") + content).ljust(padded(5 + len(content)), b"\0")
        ct = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(pt, None, bytes(24), key)
        if (len(ct), sha(ct)) != (header["enc"]["n"], b64decode(header["enc"]["ct"])):
            return "ciphertext-mismatch"
    return None


# Sections 1 and 7 ------------------------------------------------------------------------------------------------


def strict(raw: bytes, most: int) -> str | None:
    """P-01 and P-10."""
    if len(raw) > most:
        return "too-large"
    try:
        canonical(raw)
    except (ValueError, RecursionError, rfc8785.CanonicalizationError):
        return "not-canonical"
    return None


def key(public: bytes, message: bytes, signature: bytes) -> str | None:
    """P-12: registered, then used."""
    if len(public) != 32:
        return "key-malformed"
    if not sodium.crypto_core_ed25519_is_valid_point(public):
        return "key-weak"
    return None if len(signature) == 64 and signed_by(public, message, signature) else "bad-signature"


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
