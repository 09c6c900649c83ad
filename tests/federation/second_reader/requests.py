"""Section 5 of PROTOCOL.md: signed requests."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime

from tests.federation.second_reader.basics import sha, signed_by, unbase64

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
