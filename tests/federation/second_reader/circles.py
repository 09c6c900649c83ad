"""Section 15 of PROTOCOL.md: circles."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.federation.second_reader.basics import (
    LAST_SECOND,
    NODE,
    above,
    canonical,
    dsse,
    number,
    printed,
    read,
    sha,
    signers,
    sound,
    unbase64,
)
from tests.federation.second_reader.entries import for_us
from tests.federation.second_reader.proofs import many

TYPE = "application/vnd.tocsin.circle+json"
DAY = 86_400
FIELDS = {"admins", "circle", "epoch", "exp", "iat", "max_tlp", "members", "name", "prev", "threshold", "v"}


def form(this: Any) -> bool:
    """P-200 and P-218."""
    try:
        admins = [unbase64(each, 32) for each in this["admins"]]
        later = this["epoch"] > 0
        return (
            set(this)
            == FIELDS - (set() if later else {"circle", "prev"}) | ({"roster"} if this["v"] == 2 else set())
            and this.get("roster", "hidden") == "hidden"
            and number(this["epoch"], 0, 255)
            and number(this["iat"])
            and number(this["exp"], 0, LAST_SECOND)
            and 0 < this["exp"] - this["iat"] <= 400 * DAY
            and 1 <= len(admins) <= 16
            and None not in admins
            and admins == sorted(set(admins))
            and number(this["threshold"], 1, len(admins))
            and len(this["members"]) <= 256
            and all(NODE.fullmatch(each) for each in this["members"])
            and this["members"] == sorted(set(this["members"]))
            and this["max_tlp"] in {"clear", "green", "amber", "amber+strict"}
            and printed(this["name"], 100)
            and all(unbase64(this[name], 32) is not None for name in ("circle", "prev") if later)
        )
    except (TypeError, KeyError, AttributeError):
        return False


def opened(envelopes: Sequence[bytes]) -> str | list[tuple[bytes, dict[str, bytes], dict[str, Any]]]:
    """P-201 and P-200: of each epoch payload, signatures and what it says; or the code."""
    if not 1 <= len(envelopes) <= 256 or sum(map(len, envelopes)) > 1_048_576:
        return "circle-too-long"
    found = []
    for envelope in envelopes:
        parts = dsse(envelope, TYPE)
        try:
            this = canonical(parts[0]) if parts is not None and len(parts[0]) <= 24_576 else None
        except ValueError:
            this = None
        if isinstance(this, dict) and type(this.get("v")) is int and this["v"] not in {1, 2}:
            return "circle-unsupported"
        if parts is None or len(parts[1]) > 32 or not form(this):
            return "circle-malformed"
        found.append((*parts, this))
    return found


def chain(envelopes: Sequence[bytes], *, held: Sequence[bytes], now: int) -> str | list[dict[str, Any]]:
    """P-200 to P-205: the manifests, or the code. `held`: the chain that is held, already judged."""
    found = opened(envelopes)
    if isinstance(found, str):
        return found
    said = [this for _, _, this in found]
    for n, (payload, signatures, this) in enumerate(found):
        if this["epoch"] != n:
            return "circle-broken"
        if n:
            before = said[n - 1]
            linked = unbase64(this["circle"]) == sha(found[0][0]) and unbase64(this["prev"]) == sha(
                found[n - 1][0]
            )
            if not linked or this["iat"] < before["iat"] or this.get("roster") != before.get("roster"):
                return "circle-broken"
        for judges in [this, said[n - 1]] if n else [this]:
            keys = [unbase64(each) or b"" for each in judges["admins"]]
            if not all(sound(key) for key in keys):
                return "key-weak"
            if signers(payload, TYPE, signatures, keys) < judges["threshold"]:
                return "circle-unsigned"
    ours = opened(held) if held else []
    assert not isinstance(ours, str)
    if ours and ours[0][0] != found[0][0]:
        return "wrong-circle"
    if any(mine[0] != theirs[0] for mine, theirs in zip(ours, found, strict=False)):
        return "circle-forked"
    if len(found) < len(ours):
        return "circle-stale"
    if said[-1]["iat"] > now + DAY:
        return "circle-from-future"
    return "circle-expired" if now >= said[-1]["exp"] else said


def addressed(
    envelopes: Sequence[bytes],
    header: dict[str, Any],
    *,
    me: str,
    frozen_at: int | None,
    ended_at: datetime | None,
    logged_by: datetime | None,
) -> str | None:
    """P-208, P-212, P-213: the header of an entry to a circle, whose chain is known (or empty)."""
    found = opened(envelopes) if envelopes else []
    assert not isinstance(found, str)
    aud = header["aud"]
    if not found or unbase64(aud["circle"]) != sha(found[0][0]):
        return "circle-awaited"
    if aud["epoch"] >= len(found):
        return "circle-awaited"
    if frozen_at is not None and aud["epoch"] >= frozen_at:
        return "circle-frozen"
    this = found[aud["epoch"]][2]
    if not {header["by"], me} <= set(this["members"]):
        return "not-member"
    if above(header["tlp"], this["max_tlp"]):
        return "above-circle"
    late = ended_at is not None and logged_by is not None and logged_by > ended_at + timedelta(hours=1)
    return "epoch-ended" if late else None


def manifest(
    header: dict[str, Any],
    content: bytes,
    *,
    peer: str,
    active: bool,
    me: str,
    held: Sequence[bytes],
    now: int,
) -> str | None:
    """P-206, P-207, P-218: an entry that brings manifests."""
    said = read(content, 1_048_576)
    if said is not None and type(said.get("v")) is int and said["v"] != 1:
        return "circle-unsupported"
    envelopes = many(said["chain"]) if said is not None and set(said) == {"chain", "v"} else None
    if not envelopes or len(envelopes) > 256:
        return "circle-malformed"
    verdict, found = chain(envelopes, held=(), now=now), opened(envelopes)
    if isinstance(verdict, str) or isinstance(found, str):
        return str(verdict)
    if (bad := for_us(header, peer, me, {"circle"})) is not None:
        return bad
    newest, first = found[-1][2], sha(found[0][0])[:16]
    octets = bytearray(first)
    octets[6], octets[8] = octets[6] & 0x0F | 0x80, octets[8] & 0x3F | 0x80
    text = octets.hex()
    name = f"circle--{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    if (header["id"], header["ver"]) != (name, newest["epoch"] + 1):
        return "inner-mismatch"
    if newest.get("roster") == "hidden":
        return "content-invalid"
    if not active:
        return "peer-inactive"
    members = [set(this["members"]) for _, _, this in found]
    if not all(any(each in those for those in members) for each in (peer, me)):
        return "not-member"
    ours = opened(held) if held else []
    same = all(mine[0] == theirs[0] for mine, theirs in zip(ours, found, strict=False))
    return None if same else "circle-forked"
