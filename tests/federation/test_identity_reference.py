"""P13: whatever chain is made, `verify_chain` says what a second validator says, written from PROTOCOL.md alone.

The second one is `second_reader`, which shares no code with the product. Chains are made of random statements with
several root keys and thresholds, most of them with something wrong in one place.
"""

import base64
import copy
import hashlib
import json
from datetime import UTC, datetime

from hypothesis import event, given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey
from tests.federation.nodes import Rng
from tests.federation.second_reader.nodes import chain as reference

from tocsin_federation.errors import IdentityRefused
from tocsin_federation.identity import verify_chain
from tocsin_federation.keys import VKEY_COSIGNATURE, VKEY_ED25519, encode_vkey, generate_enc

NOW = 1_800_000_000
TYPE = "application/vnd.tocsin.node+json"
DAY = 86_400
ROOTS = [SigningKey(hashlib.sha256(b"root %d" % n).digest()) for n in range(24)]
OTHERS = [SigningKey(hashlib.sha256(b"other %d" % n).digest()) for n in range(8)]
ENC = generate_enc(Rng("reference")).public


def b64(raw):
    return base64.b64encode(raw).decode()


def sha(raw):
    return hashlib.sha256(raw).digest()


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def public(key):
    return key.verify_key.encode()


# Random chains -------------------------------------------------------------------------------------------


def log_of(gen):
    origin = f"node.example/tocsin/{gen:016x}"
    return {"gen": gen, "origin": origin, "vkey": encode_vkey(origin, VKEY_ED25519, public(OTHERS[gen % 5]))}


def envelope_of(statement, keys):
    payload = canonical(statement)
    message = b"DSSEv1 %d %s %d %s" % (len(TYPE), TYPE.encode(), len(payload), payload)
    signatures = [
        {"keyid": sha(public(key)).hex()[:16], "sig": b64(key.sign(message).signature)} for key in keys
    ]
    signatures.sort(key=lambda signature: signature["keyid"])
    return canonical({"payload": b64(payload), "payloadType": TYPE, "signatures": signatures})


def terms(iat, exp):
    http, enc = public(OTHERS[5]), ENC
    return {
        "iat": iat,
        "exp": exp,
        "http": [{"kid": sha(http).hex()[:16], "pk": b64(http), "nbf": iat, "exp": exp}],
        "enc": [{"kid": sha(enc).hex()[:16], "kem": "647a", "pk": b64(enc), "nbf": iat, "exp": exp}],
    }


@st.composite
def chains(draw):
    """(statements, who signs each): sound, with two to four root keys a statement and a threshold of some of them."""
    length = draw(st.integers(1, 4))
    width = draw(st.integers(1, 3))
    wit = encode_vkey("node.example/witness", VKEY_COSIGNATURE, public(OTHERS[6]))
    said, signing = [], []
    iat, gen, void = NOW - 60 * DAY, 1, None
    for n in range(length):
        mine, following = ROOTS[3 * n : 3 * n + width], ROOTS[3 * n + 3 : 3 * n + 3 + width]
        threshold = draw(st.integers(1, width))
        statement = {
            "v": 1, "seq": n, "root": [b64(public(key)) for key in mine],
            "next": [b64(sha(public(key))) for key in following], "threshold": threshold,
            "org": {"name": "Node", "domain": "node.example"}, "urls": ["https://node.example"], "wit": wit,
        }  # fmt: skip
        if n:
            iat += draw(st.integers(0, 20)) * DAY
            if draw(st.booleans()):
                void = draw(st.sampled_from([None, {"gen": gen, "size": n, "root": b64(bytes(32))}]))
                gen += 1
        statement |= {"log": log_of(gen), **({"void": void} if void else {})}
        statement |= terms(iat, iat + draw(st.integers(61, 100)) * DAY)
        needed = said[-1]["threshold"] if said else threshold
        said.append(statement)
        signing.append(mine[: draw(st.integers(needed, width))])
    return said, signing


def link(said):
    """The hashes that bind each to the one before, after whatever was done to them."""
    for n in range(1, len(said)):
        said[n].setdefault("prev", b64(sha(canonical(said[n - 1]))))


SLIPS = (
    "none", "another statement before", "out of turn", "dated before", "expired", "dated ahead", "dated a day ahead",
    "fewer signers", "a stranger signs", "a stranger signs too", "a stranger's root", "a stranger among the roots",
    "a stranger in a root's place", "a used root is announced", "its own threshold is lower", "another log",
    "another key of the log", "an old log", "an old key under a new name", "a void of nowhere",
)  # fmt: skip


def slip_in(slip, said, signing, n, used):
    """Do something wrong to statement `n`, or something that is not wrong though it looks so. `used`: a root's number."""
    this, keys, stranger = said[n], signing[n], OTHERS[7]
    gen, iat = this["log"]["gen"], this["iat"]
    match slip:
        case "another statement before" if n:
            this["prev"] = b64(bytes(32))
        case "out of turn" if n:
            this["seq"] = n + 1
        case "dated before":
            this |= terms(NOW - 61 * DAY, NOW + DAY)
        case "expired":
            this |= terms(iat, NOW)
        case "dated ahead":
            this |= terms(NOW + DAY + 1, NOW + 50 * DAY)
        case "dated a day ahead":
            this |= terms(NOW + DAY, NOW + 50 * DAY)
        case "fewer signers" if len(keys) > 1:
            keys.pop()
        case "a stranger signs":
            keys[:] = [stranger]
        case "a stranger signs too":
            keys.append(stranger)
        case "a stranger's root":
            this |= {"root": [b64(public(stranger))], "threshold": 1}
            keys[:] = [stranger]
        case "a stranger among the roots":
            this["root"].append(b64(public(stranger)))
            keys.append(stranger)
        case "a stranger in a root's place":
            this["root"].append(b64(public(stranger)))
            keys[-1] = stranger
        case "a used root is announced":
            this["next"].append(b64(sha(public(ROOTS[used]))))
        case "its own threshold is lower":
            this["threshold"] = 1
            keys[1:] = []
        case "another log":
            this["log"] = log_of(gen + 5)
        case "another key of the log":
            this["log"] = {**log_of(4), "gen": gen}
        case "an old log":
            this["log"] = {**log_of(1), "gen": gen + 1}
        case "an old key under a new name":
            origin = "node.example/tocsin/anew"
            vkey = encode_vkey(origin, VKEY_ED25519, public(OTHERS[1]))
            this["log"] = {"gen": gen + 1, "origin": origin, "vkey": vkey}
        case "a void of nowhere":
            this["void"] = {"gen": gen, "size": 1, "root": b64(bytes(32))}


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_a_random_chain_is_judged_as_a_second_validator_judges_it(data):
    said, signing = data.draw(chains())
    link(said)
    true = [envelope_of(s, k) for s, k in zip(said, signing, strict=True)]
    expected = "n1" + base64.b32encode(
        sha(b"tocsin/1/incept\0" + canonical(said[0]))
    ).decode().lower().rstrip("=")
    at = data.draw(st.integers(0, len(said) - 1))
    held = data.draw(st.sampled_from([0, 0, at, at, len(true)]))
    known = None
    if held:
        known = verify_chain(true[:held], expected=expected, now=None)
    changed, keys = copy.deepcopy(said), [list(k) for k in signing]
    slip = data.draw(st.sampled_from(SLIPS))
    slip_in(slip, changed, keys, at, data.draw(st.integers(0, 3 * at)))
    for n in range(max(at, 0) + 1, len(changed)):  # who comes after builds on what was changed
        changed[n].pop("prev", None)
    link(changed)
    offered = [envelope_of(s, k) for s, k in zip(changed, keys, strict=True)]
    offered = offered[: data.draw(st.integers(max(1, len(offered) - 1), len(offered)))]
    name = expected
    if held == 0 and data.draw(st.booleans()):
        name = "n1" + base64.b32encode(
            sha(b"tocsin/1/incept\0" + canonical(changed[0]))
        ).decode().lower().rstrip("=")
    payloads = [canonical(s) for s in said[:held]]
    judged = reference(offered, expected=name, now=NOW, known=payloads)
    wanted = judged if isinstance(judged, str) else None
    event(f"{wanted or 'taken'}")
    try:
        verify_chain(offered, expected=name, now=datetime.fromtimestamp(NOW, UTC), known=known)
        found = None
    except IdentityRefused as exc:
        found = exc.code
    assert found == wanted, slip
