"""Section 6 of PROTOCOL.md: the header, and how an entry is opened. Beside it what sections 8 to 16 ask of every header."""

import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import nacl.bindings as sodium
import rfc8785
from cryptography.exceptions import InvalidTag
from nacl.exceptions import CryptoError
from tests.federation import x_wing
from tests.federation.second_reader.basics import (
    COUNT,
    MARKINGS,
    NODE,
    UUID,
    canonical,
    node_bytes,
    number,
    respelt,
    sha,
    unbase64,
)

SMALLEST_PT, WRAP = 1024, 1168
REPORTS = {"publish", "revoke"}
ANSWERS = {"ack", "remark", "call", "answer", "share", "complain", "receipt", "recall"}
KINDS = REPORTS | ANSWERS | {"circle"}
UNNAMED = REPORTS | {"remark", "call", "recall", "circle"}
OWN_NAMES = {"receipt", "recall", "circle"}  # what the id begins with; elsewhere it is a report's
FIELDS = {"v", "t", "by", "id", "ver", "prev", "ref", "ts", "aud", "tlp", "enc"}


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
    """P-60 to P-69."""
    if len(leaf) > 16_384 or len(ct) > 1_081_360:
        return "too-large"
    if sha(b"\0" + leaf) != leaf_hash:
        return "hash-mismatch"
    header = header_of(leaf)
    if isinstance(header, str):
        return header
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


def header_of(leaf: bytes) -> Any:
    """P-62: the header, or the code."""
    try:
        header = canonical(leaf)
    except (ValueError, RecursionError):
        return "not-canonical"
    if not isinstance(header, dict):
        return "header-invalid"
    aud = header.get("aud")
    if None in (header.get(name, 0) for name in ("prev", "ref")):
        return "not-canonical"
    if isinstance(aud, dict) and (aud.get("unnamed") is False or aud.get("cprev", 0) is None):
        return "not-canonical"
    enc = header.get("enc")
    texts = [header.get("prev"), header.get("ref")]
    texts += [aud.get(name) for name in ("circle", "cprev")] if isinstance(aud, dict) else []
    texts += [enc.get(name) for name in ("salt", "kc", "ct")] if isinstance(enc, dict) else []
    if any(respelt(text) for text in texts):
        return "not-canonical"
    return form(header) or header


def form(header: dict[str, Any]) -> str | None:
    """P-62: a known version, kind, audience and suite; then the form of the table in section 6."""
    aud, enc, kind = header.get("aud"), header.get("enc"), header.get("t")
    later = (
        (type(header.get("v")) is int and header["v"] != 1)
        or (isinstance(kind, str) and kind not in KINDS)
        or (isinstance(aud, dict) and not {"nodes", "circle", "unnamed"} & set(aud))
        or (isinstance(enc, dict) and type(enc.get("suite")) is int and enc["suite"] != 1)
    )
    if later:
        return "unsupported"
    begins = kind if kind in OWN_NAMES else "incident"
    try:
        good = (
            number(header["v"], 1, 1)
            and number(enc["suite"], 1, 1)
            and set(header) <= FIELDS
            and FIELDS - set(header) <= {"prev", "ref"}
            and NODE.fullmatch(header["by"]) is not None
            and addressed(aud, kind, header["by"])
            and re.fullmatch(rf"{begins}--{UUID}", header["id"]) is not None
            and number(header["ver"], 1, COUNT)
            and (header["ver"] == 1 or kind not in {"receipt", "recall"})
            and number(header["ts"])
            and header["tlp"] in MARKINGS
            and ("ref" in header) == (kind in ANSWERS)
            and not ("prev" in header and (header["ver"] == 1 or kind not in REPORTS))
            and all(unbase64(header[n], 32) is not None for n in ("prev", "ref") if n in header)
            and set(enc) == {"suite", "salt", "kc", "ct", "n"}
            and all(
                unbase64(enc[n], length) is not None for n, length in (("salt", 24), ("kc", 32), ("ct", 32))
            )
            and number(enc["n"])
        )
    except (TypeError, KeyError, AttributeError):
        return "header-invalid"
    return None if good else "header-invalid"


def addressed(aud: Any, kind: Any, by: str) -> bool:
    """1 to 256 NodeIDs, ascending, each once, the author not among them; or a circle; or nobody [P-217]."""
    if "nodes" in aud:
        nodes = aud["nodes"]
        several = 1 <= len(nodes) <= 256 and all(NODE.fullmatch(node) for node in nodes)
        return set(aud) == {"nodes"} and several and nodes == sorted(set(nodes)) and by not in nodes
    if "unnamed" in aud:
        return aud == {"unnamed": True} and kind in UNNAMED
    return (
        kind in REPORTS
        and set(aud) in ({"circle", "epoch", "cseq"}, {"circle", "epoch", "cseq", "cprev"})
        and all(unbase64(aud[name], 32) is not None for name in ("circle", "cprev") if name in aud)
        and number(aud["epoch"], 0, COUNT)
        and number(aud["cseq"], 1)
        and ("cprev" in aud) == (aud["cseq"] > 1)
    )


def for_us(header: dict[str, Any], peer: str, me: str, kinds: set[str]) -> str | None:
    """P-80, for what a kind's own section says of its header."""
    if header["by"] != peer:
        return "wrong-origin"
    if me not in header["aud"].get("nodes", [me]):
        return "not-addressed"
    return None if header["t"] in kinds else "header-invalid"
