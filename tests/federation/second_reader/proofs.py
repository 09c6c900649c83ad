"""Section 11 of PROTOCOL.md: proofs for strangers, and the evidence of a fork."""

import re
from base64 import b64decode
from typing import Any

import nacl.bindings as sodium
from tests.federation.second_reader.basics import canonical, node_id, read, sha, unbase64
from tests.federation.second_reader.entries import body_key, header_of, padded
from tests.federation.second_reader.nodes import chain as judged
from tests.federation.second_reader.notes import checkpoint, root_from_path, roots_from_path

FILE = re.compile(
    rb"c2sp\.org/tlog-proof@v1\nextra (?P<extra>\S+)\nindex (?P<index>0|[1-9][0-9]*)\n(?P<path>(?:\S{44}\n)*)\n(?P<note>.*)",
    re.DOTALL,
)
PARTS = {"chain", "leaf", "v"}


def owner(chain: list[bytes]) -> str:
    """P-11, of a chain that was judged."""
    payload = b64decode(canonical(chain[0])["payload"])
    return node_id(sha(b"tocsin/1/incept\0" + payload))


def many(values: Any, length: int | None = None) -> list[bytes] | None:
    """A list of byte strings in base64, or nothing."""
    raw = [unbase64(each, length) for each in values] if isinstance(values, list) else [None]
    found = [each for each in raw if each is not None]
    return found if len(found) == len(raw) else None


def chain_of(values: Any) -> list[bytes] | None:
    """1 to 64 envelopes, or nothing."""
    found = many(values)
    return found if found is not None and 1 <= len(found) <= 64 else None


def proof(raw: bytes, *, expected: str | None) -> str | None:
    """P-130 to P-134."""
    parts = FILE.fullmatch(raw) if len(raw) <= 8 * 2**20 else None
    extra = unbase64(parts["extra"].decode("latin-1")) if parts else None
    more = read(extra, 8 * 2**20) if extra is not None else None
    path = many([line.decode("latin-1") for line in parts["path"].split()], 32) if parts else None
    if parts is None or more is None or path is None or len(path) > 53 or more.get("v") != 1:
        return "proof-malformed"
    chain, leaf = chain_of(more.get("chain")), unbase64(more.get("leaf"))
    if (
        set(more) not in (PARTS, PARTS | {"content", "data_key"})
        or chain is None
        or leaf is None
        or len(leaf) > 16_384
    ):
        return "proof-malformed"
    shown = {name: unbase64(more[name]) for name in ("content", "data_key") if name in more}
    if None in shown.values() or len(shown.get("data_key") or bytes(32)) != 32:
        return "proof-malformed"
    said = judged(chain, expected=expected, now=None)
    if isinstance(said, str):
        return said
    return proven(said, owner(chain), leaf, int(parts["index"]), path, parts["note"], shown)


def proven(
    said: list[dict[str, Any]], by: str, leaf: bytes, index: int, path: list[bytes], note: bytes, shown: Any
) -> str | None:
    """P-131 to P-134, with the chain judged."""
    header = header_of(leaf)
    if isinstance(header, str):
        return header
    if header["by"] != by:
        return "wrong-origin"
    verdict, size, root, gen = "note-unsigned", 0, b"", 0
    for statement in said:
        code, found, top = checkpoint(note, statement["log"]["vkey"])
        if code != "note-unsigned":
            verdict, size, root, gen = code or "signed", found, top, statement["log"]["gen"]
            break
    if verdict != "signed":
        return verdict
    voids = [s["void"] for s in said if s.get("void") and s["void"]["gen"] == gen]
    if any(index >= void["size"] for void in voids):
        return "proof-void"
    if root_from_path(sha(b"\0" + leaf), index, size, path) != root:
        return "proof-mismatch"
    if shown:
        key, commitment = body_key(header, shown["data_key"])
        if commitment != b64decode(header["enc"]["kc"]):
            return "commitment"
        content = shown["content"]
        pt = (b"\0" + len(content).to_bytes(4, "big") + content).ljust(padded(5 + len(content)), b"\0")
        ct = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(pt, None, bytes(24), key)
        if (len(ct), sha(ct)) != (header["enc"]["n"], b64decode(header["enc"]["ct"])):
            return "ciphertext-mismatch"
    return None


def evidence(raw: bytes, *, expected: str | None = None) -> str | None:
    """P-135 and P-136."""
    file = read(raw, 4 * 2**20)
    if file is None or set(file) != {"chain", "held", "kind", "offered", "path", "v"} or file["v"] != 1:
        return "proof-malformed"
    chain, path = chain_of(file["chain"]), many(file["path"], 32)
    if chain is None or path is None or len(path) > 108 or file["kind"] != "fork":
        return "proof-malformed"
    notes = [unbase64(file[name]) for name in ("held", "offered")]
    if None in notes:
        return "proof-malformed"
    said = judged(chain, expected=expected, now=None)
    if isinstance(said, str):
        return said
    return contradiction(said, [note for note in notes if note is not None], path)


def contradiction(said: list[dict[str, Any]], notes: list[bytes], path: list[bytes]) -> str | None:
    verdict: str | None = "note-unsigned"
    for key in dict.fromkeys(statement["log"]["vkey"] for statement in said):
        opened = [checkpoint(note, key) for note in notes]
        codes = [code for code, _, _ in opened if code is not None]
        if codes:
            verdict = verdict if codes[0] == "note-unsigned" else codes[0]
            continue
        (_, old, root), (_, new, top) = sorted(opened, key=lambda each: each[1])
        if old == new:
            return None if root != top and not path else "proof-mismatch"
        roots = roots_from_path(old, new, path)
        return None if roots is not None and roots[1] == top and roots[0] != root else "proof-mismatch"
    return verdict
