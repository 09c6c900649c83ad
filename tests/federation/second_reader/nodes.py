"""Section 2 of PROTOCOL.md: who a node is."""

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv6Address
from typing import Any

from tests.federation.second_reader.basics import (
    COUNT,
    LAST_SECOND,
    canonical,
    dsse,
    named,
    node_bytes,
    number,
    printed,
    respelt,
    sha,
    signers,
    sound,
    unbase64,
    vkey,
)

TYPE = "application/vnd.tocsin.node+json"
DAY = 86_400
FIELDS = {"enc", "exp", "http", "iat", "log", "next", "org", "prev", "root", "seq", "threshold", "urls", "v", "void", "wit"}  # fmt: skip


LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN = rf"{LABEL}(?:\.{LABEL})*"
ADDRESS = re.compile(
    rf"https?://(?:{DOMAIN}|\[(?P<v6>[0-9a-f:]+)\])(?::(?P<port>[1-9][0-9]{{0,4}}))?(?:/[A-Za-z0-9._~-]+)*"
)


def address(text: Any) -> bool:
    """Scheme, host, port and path, no more, and no slash at the end."""
    form = ADDRESS.fullmatch(str(text)) if len(str(text)) <= 512 else None
    try:
        IPv6Address(form["v6"] or "::" if form else "none")
    except AddressValueError:
        return False
    return form is not None and int(form["port"] or 443) < 2**16


def term(each: dict[str, Any], statement: dict[str, Any], length: int, extra: set[str]) -> bool:
    public = unbase64(each["pk"], length)
    return (
        set(each) == {"kid", "pk", "nbf", "exp"} | extra
        and public is not None
        and each["kid"] == sha(public).hex()[:16]
        and number(each["nbf"], 0, LAST_SECOND)
        and each["nbf"] < each["exp"] <= statement["exp"]
    )


def form(this: Any) -> bool:
    """P-20, but for what P-28 says of the newest alone."""
    try:
        log, void, org = this["log"], this.get("void"), this["org"]
        keys = [
            *this["root"],
            *this["next"],
            *(k["pk"] for k in this["http"]),
            *(k["pk"] for k in this["enc"]),
        ]
        return (
            set(this) <= FIELDS
            and FIELDS - set(this) <= {"prev", "void"}
            and ("prev" in this) == (this["seq"] > 0)
            and number(this["seq"], 0, COUNT)
            and number(this["iat"])
            and number(this["exp"], 0, LAST_SECOND)
            and 0 < this["exp"] - this["iat"] <= 100 * DAY
            and all(1 <= len(this[name]) <= 8 for name in ("root", "next"))
            and all(unbase64(each, 32) is not None for name in ("root", "next") for each in this[name])
            and number(this["threshold"], 1, min(len(this["root"]), len(this["next"])))
            and len(keys) == len(set(keys))
            and 1 <= len(this["http"]) <= 4
            and 1 <= len(this["enc"]) <= 8
            and all(term(each, this, 32, set()) for each in this["http"])
            and all(term(each, this, 1216, {"kem"}) and each["kem"] == "647a" for each in this["enc"])
            and set(log) == {"gen", "origin", "vkey"}
            and number(log["gen"], 1, COUNT)
            and vkey(log["vkey"], 1) is not None
            and vkey(this["wit"], 4) is not None
            and (void is None or set(void) == {"gen", "size", "root"})
            and (void is None or (number(void["gen"], 1, COUNT) and number(void["size"])))
            and (void is None or unbase64(void["root"], 32) is not None)
            and ("prev" not in this or unbase64(this["prev"], 32) is not None)
            and set(org) == {"name", "domain"}
            and printed(org["name"], 200)
            and re.fullmatch(DOMAIN, org["domain"]) is not None
            and len(org["domain"]) <= 253
            and 1 <= len(this["urls"]) <= 4
            and all(address(each) for each in this["urls"])
        )
    except (TypeError, KeyError, AttributeError):
        return False


def borrowed(said: Sequence[dict[str, Any]], others: Sequence[bytes]) -> bool:
    """P-251. `others`: statements of other nodes that are known."""
    names = {canonical((dsse(envelope, TYPE) or (b"", {}))[0])["log"]["origin"] for envelope in others}
    return any(this["log"]["origin"] in names for this in said)


def log_may_be(earlier: Sequence[dict[str, Any]], this: dict[str, Any]) -> bool:
    """P-26."""
    before, log, void = earlier[-1], this["log"], this.get("void")
    if log["gen"] == before["log"]["gen"]:
        return log == before["log"] and void == before.get("void")
    new = all(
        log["origin"] != s["log"]["origin"] and log["vkey"].split("+")[2] != s["log"]["vkey"].split("+")[2]
        for s in earlier
    )
    return (
        log["gen"] == before["log"]["gen"] + 1
        and new
        and (void is None or void["gen"] == before["log"]["gen"])
    )


def binary(this: dict[str, Any]) -> list[Any]:
    """The texts in a statement that stand for bytes, if it has its form."""
    keys = [*this.get("http", ()), *this.get("enc", ())]
    void = this.get("void")
    texts = [*this.get("root", ()), *this.get("next", ()), this.get("prev")]
    texts += [each.get("pk") for each in keys if isinstance(each, dict)]
    return texts + ([void.get("root")] if isinstance(void, dict) else [])


def keys_of(this: dict[str, Any]) -> list[tuple[str, int]]:
    return [(this["log"]["vkey"], 1), (this["wit"], 4)]


def keys_of_newest(this: dict[str, Any]) -> str | None:
    """P-28, and P-15 for its keys to seal to."""
    (name, log), (_, wit) = vkey(this["log"]["vkey"], 1) or ("", b""), vkey(this["wit"], 4) or ("", b"")
    single = [unbase64(each) or b"" for each in [*this["root"], *(k["pk"] for k in this["http"])]] + [
        log,
        wit,
    ]
    if name != this["log"]["origin"] or len(set(single)) != len(single):
        return "statement-malformed"
    seals = [unbase64(each["pk"]) or b"" for each in this["enc"]]
    for public in seals:
        for at in range(0, 1152, 3):  # two coefficients of 12 bits in three bytes, each below 3,329
            three = int.from_bytes(public[at : at + 3], "little")
            if three & 4095 >= 3329 or three >> 12 >= 3329:
                return "statement-malformed"
    requests = [unbase64(each["pk"]) or b"" for each in this["http"]]
    if not all(sound(public) for public in requests) or any(small(public[1184:]) for public in seals):
        return "key-weak"
    return None


def small(point: bytes) -> bool:
    """Whether a point of X25519 has small order: the orders of RFC 7748's list, the top bit passed over."""
    prime = 2**255 - 19
    u = (int.from_bytes(point, "little") & (2**255 - 1)) % prime
    eight = (
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    )
    return u in (0, 1, prime - 1, *eight)


def chain(
    envelopes: Sequence[bytes], *, expected: str | None, now: int | None, known: Sequence[bytes] = ()
) -> str | list[dict[str, Any]]:
    """P-20 to P-28: the statements, or the code of the first rule that does not hold. `known`: payloads held already.

    Without `now` terms do not count, as in a proof [P-131], nor does what the newest alone must be.
    """
    if not 1 <= len(envelopes) <= 64:
        return "chain-too-long" if envelopes else "chain-empty"
    payloads, signed, said = [], [], []
    for envelope in envelopes:
        try:
            canonical(envelope)
        except ValueError:
            return "not-canonical"
        opened = dsse(envelope, TYPE)
        if opened is None or len(opened[0]) > 24_576 or not 1 <= len(opened[1]) <= 16:
            return "statement-malformed"
        try:
            this = canonical(opened[0])
        except ValueError:
            return "not-canonical"
        if isinstance(this, dict) and type(this.get("v")) is int and this["v"] != 1:
            return "statement-unsupported"
        if isinstance(this, dict) and None in (this.get(name, 0) for name in ("prev", "void")):
            return "not-canonical"
        if isinstance(this, dict) and any(respelt(text) for text in binary(this)):
            return "not-canonical"
        if not form(this):
            return "statement-malformed"
        if not all(sound((vkey(this_key, kind) or ("", b""))[1]) for this_key, kind in keys_of(this)):
            return "key-weak"
        payloads.append(opened[0])
        signed.append(opened[1])
        said.append(this)
    if expected is not None and sha(b"tocsin/1/incept\0" + payloads[0]) != node_bytes(expected):
        return "wrong-node"
    same = [ours == theirs for ours, theirs in zip(known, payloads, strict=False)]
    held = same.index(False) if False in same else len(known)
    if all(same) and len(payloads) < len(known):
        return "chain-stale"
    exposed: set[bytes] = set()
    for n, this in enumerate(said):
        roots = [unbase64(each) or b"" for each in this["root"]]
        before = said[n - 1] if n else None
        if this["seq"] != n:
            return "chain-broken"
        needed = this["threshold"]
        if before is not None:
            if unbase64(this["prev"]) != sha(payloads[n - 1]) or this["iat"] < before["iat"]:
                return "chain-broken"
            roots = [root for root in roots if sha(root) in [unbase64(each) for each in before["next"]]]
            needed = before["threshold"]
        if n >= held and not all(sound(root) for root in named(roots, signed[n])):
            return "key-weak"
        if n >= held and signers(payloads[n], TYPE, signed[n], roots) < needed:
            return "root-unannounced"
        exposed |= {sha(unbase64(each) or b"") for each in this["root"]}
        if exposed & {unbase64(each) for each in this["next"]}:
            return "root-reused"
        if before is not None and not log_may_be(said[:n], this):
            return "log-changed"
    if held < len(known):
        return "chain-forked"
    if now is not None and now >= said[-1]["exp"]:
        return "statement-expired"
    if now is not None and said[-1]["iat"] > now + DAY:
        return "statement-from-future"
    return (keys_of_newest(said[-1]) if now is not None else None) or said
