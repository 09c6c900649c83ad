"""Section 8a of PROTOCOL.md: passing on, and complaining of it."""

from base64 import b64decode
from collections.abc import Sequence
from typing import Any

from tests.federation.second_reader.basics import above, canonical, number, read, sha, unbase64
from tests.federation.second_reader.entries import REPORTS, for_us, header_of
from tests.federation.second_reader.nodes import chain as judged
from tests.federation.second_reader.proofs import chain_of, many, owner, proven

PARTS = {"chain", "content", "data_key", "index", "leaf", "note", "path", "v"}


def parts(content: bytes, most: int, extra: set[str]) -> dict[str, Any] | str:
    """The parts of a disclosed proof as a share and a complaint carry them, or the code."""
    said = read(content, most)
    if said is None or type(said.get("v")) is not int:
        return "content-invalid"
    if said["v"] != 1:
        return "unsupported"
    if set(said) != PARTS | extra or not all(isinstance(said[name], bool) for name in extra):
        return "content-invalid"
    lengths = {"content": None, "data_key": 32, "leaf": None, "note": None}
    raw: dict[str, Any] = {name: unbase64(said[name], length) for name, length in lengths.items()}
    raw |= {"chain": chain_of(said["chain"]), "path": many(said["path"], 32), "index": said["index"]}
    if None in raw.values() or not number(said["index"]) or len(raw["path"]) > 53:
        return "content-invalid"
    if max(len(raw["leaf"]), len(raw["note"])) > 16_384 or len(raw["content"]) > 1_048_576:
        return "content-invalid"
    return raw | {name: said[name] for name in extra}


def proven_parts(found: dict[str, Any], known: Sequence[bytes]) -> dict[str, Any] | None:
    """P-231: the author's header, if all is proven under the longer of two chains that agree; else nothing."""
    longer, other = sorted((list(found["chain"]), list(known)), key=len, reverse=True)
    if isinstance(judged(found["chain"], expected=None, now=None), str):
        return None
    payloads = (
        [[b64decode(canonical(each)["payload"]) for each in chain] for chain in (longer, other)]
        if known
        else None
    )
    if payloads is not None and payloads[0][: len(payloads[1])] != payloads[1]:
        return None
    said = judged(longer, expected=None, now=None)
    if isinstance(said, str):
        return None
    shown = {"content": found["content"], "data_key": found["data_key"]}
    bad = proven(said, owner(longer), found["leaf"], found["index"], found["path"], found["note"], shown)
    return None if bad is not None else header_of(found["leaf"])


def permitted(theirs: dict[str, Any], messenger: str, *, client: bool) -> bool:
    """P-232."""
    given = messenger in theirs["aud"].get("nodes", ())
    return given and (theirs["tlp"] in {"clear", "green"} or (theirs["tlp"] == "amber" and client))


def share(
    header: dict[str, Any],
    content: bytes,
    *,
    peer: str,
    active: bool,
    onward: bool,
    ceiling: str,
    me: str,
    known: Sequence[bytes],
    author: Any,
) -> str | None:
    """P-231 to P-233. `known`: the chain held of the author; `author`: our policy for it, None when it is no peer."""
    if (bad := for_us(header, peer, me, {"share"})) is not None:
        return bad
    found = parts(content, 524_288, {"client"})
    if isinstance(found, str):
        return found
    theirs = proven_parts(found, known)
    if theirs is None or theirs["t"] not in REPORTS or theirs["by"] == peer:
        return "unproven"
    same = all(theirs[name] == header[name] for name in ("id", "ver", "tlp"))
    if not same or unbase64(header["ref"]) != sha(b"\0" + found["leaf"]):
        return "inner-mismatch"
    if not active:
        return "peer-inactive"
    if not permitted(theirs, peer, client=found["client"]):
        return "onward-forbidden"
    if not onward:
        return "onward-off"
    if author is not None and not author["active"]:
        return "peer-inactive"
    ceilings = [ceiling] if author is None else [ceiling, author["max_tlp_in"]]
    return "above-ceiling" if any(above(header["tlp"], each) for each in ceilings) else None


def complaint(
    header: dict[str, Any], content: bytes, *, peer: str, active: bool, me: str, known: Sequence[bytes]
) -> str | None:
    """P-235 and P-236. `known`: our own chain."""
    if (bad := for_us(header, peer, me, {"complain"})) is not None:
        return bad
    found = parts(content, 1_048_576, set())
    if isinstance(found, str):
        return found
    if not active:
        return "peer-inactive"
    theirs = proven_parts(found, ())
    if theirs is None:
        return "unproven"
    same = theirs["t"] == "share" and all(theirs[name] == header[name] for name in ("id", "ver"))
    if not same or unbase64(header["ref"]) != sha(b"\0" + found["leaf"]):
        return "inner-mismatch"
    if peer not in theirs["aud"].get("nodes", ()):
        return "complaint-unfounded"
    passed = parts(found["content"], 524_288, {"client"})
    ours = None if isinstance(passed, str) else proven_parts(passed, known)
    if ours is None or isinstance(passed, str) or ours["by"] != me:
        return "complaint-unfounded"
    if sha(b"\0" + passed["leaf"]) != unbase64(theirs["ref"]):
        return "complaint-unfounded"
    return "complaint-unfounded" if permitted(ours, theirs["by"], client=passed["client"]) else None
