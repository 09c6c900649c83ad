"""Vectors for `verify_chain`: thieves of keys, forkers, hijackers of domains, careless operators."""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from tocsin_federation.canonical import canon
from tocsin_federation.identity import RenewedKeys, extend
from tocsin_federation.keys import VKEY_ED25519, decode_vkey, encode_vkey, generate, kid, public_of, sign
from tocsin_federation.statement import STATEMENT, LogKey, digest, read_statement, sign_statement
from workshop.case import Case, Dice
from workshop.cast import ALDER, BIRCH, CEDAR, NOW

_LATER: Final = NOW + timedelta(days=80)
_DAY = 86_400
# A point of order 8 (Chalkias et al., "Taming the many EdDSAs", 2020)
SMALL_ORDER: Final = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")

_ZERO: Final = ALDER.identity.chain[0]
_FIRST: Final = ALDER.identity.statement


def cases() -> Iterator[Case]:
    """All vectors of this check."""
    for name, expect, rule, comment, given in (*_chains(), *_forged(), *_fields()):
        yield Case("identity", name, expect, rule, comment, given)


Row = tuple[str, str, str, str, dict[str, Any]]


def _given(
    chain: Sequence[bytes],
    *,
    expected: str = ALDER.node_id,
    now: datetime = NOW,
    known: Sequence[bytes] = (),
) -> dict[str, Any]:
    return {"expected": expected, "now": now, "known": list(known), "chain": list(chain)}


def _renewed(**changes: Any) -> tuple[RenewedKeys, bytes]:
    return extend([_ZERO], root_private=ALDER.keys.next_root, now=_LATER, rng=Dice("renewal"), **changes)


def _second(**changes: Any) -> bytes:
    """A statement 1 in which the fields named are changed before it is signed by the right key."""
    good = read_statement(_renewed()[1]).statement
    return sign_statement(msgspec.structs.replace(good, **changes), [ALDER.keys.next_root])


def _zero(**changes: Any) -> bytes:
    return sign_statement(msgspec.structs.replace(_FIRST, **changes), [ALDER.keys.root])


# The cases ----------------------------------------------------------------------------------------------


def _chains() -> Iterator[Row]:
    keys, one = _renewed()
    yield "valid", "ok", "P-20", "Statement 0.", _given([_ZERO])
    yield "valid-renewed", "ok", "P-25", "Statements 0 and 1.", _given([_ZERO, one], now=_LATER)
    moved = _renewed(domain="alder.test", urls=["https://new.alder.test:8443/tocsin"])[1]
    yield (
        "valid-moved",
        "ok",
        "P-21",
        "Another domain and address, the same node.",
        _given([_ZERO, moved], now=_LATER),
    )
    everything = _renewed(replace=("http", "witness", "log", "enc"))[1]
    yield "valid-all-keys-new", "ok", "P-26", "Every key is new.", _given([_ZERO, everything], now=_LATER)
    yield (
        "valid-already-held",
        "ok",
        "P-22",
        "The chain grew.",
        _given([_ZERO, one], now=_LATER, known=[_ZERO]),
    )
    yield "empty", "chain-empty", "P-20", "No statement.", _given([])
    yield "too-long", "chain-too-long", "P-20", "65 statements.", _given([_ZERO] * 65)
    yield (
        "wrong-node",
        "wrong-node",
        "P-21",
        "Birch's chain answers at Alder's address: the domain was taken over.",
        _given(BIRCH.identity.chain),
    )
    yield (
        "begins-with-statement-1",
        "chain-broken",
        "P-23",
        "Statement 1 as the first, under the NodeID that it would give.",
        _given([one], expected=_node(one), now=_LATER),
    )
    yield "repeated", "chain-broken", "P-24", "Statement 0 twice.", _given([_ZERO, _ZERO])
    _, two = extend([_ZERO, one], root_private=keys.next_root, now=_LATER, rng=Dice("two"))
    yield "gap", "chain-broken", "P-24", "Statement 1 is missing.", _given([_ZERO, two], now=_LATER)
    yield (
        "prev-of-another",
        "chain-broken",
        "P-24",
        "It follows from another statement 0.",
        _given([_ZERO, _second(prev=hashlib.sha256(b"another").digest())], now=_LATER),
    )
    yield (
        "dated-before-its-parent",
        "chain-broken",
        "P-24",
        "Statement 1 is older than statement 0.",
        _given([_ZERO, _older()]),
    )
    rival = _renewed(org="Alder Institute (rival)")[1]
    yield (
        "forked",
        "chain-forked",
        "P-22",
        "A second statement 1, rightly signed: the root key was used twice.",
        _given([_ZERO, rival], now=_LATER, known=[_ZERO, one]),
    )
    nobodys = _dsse(read_statement(rival).payload, bytes(64), by=public_of(ALDER.keys.next_root))
    yield (
        "forked-by-nobody",
        "root-unannounced",
        "P-22",
        "A second statement 1 that nobody signed: whoever answers at Alder's address can write it.",
        _given([_ZERO, nobodys], now=_LATER, known=[_ZERO, one]),
    )
    yield (
        "rolled-back",
        "chain-stale",
        "P-22",
        "Statement 1 is hidden from those who know it.",
        _given([_ZERO], known=[_ZERO, one]),
    )
    yield (
        "expired",
        "statement-expired",
        "P-27",
        "Nothing new for 100 days.",
        _given([_ZERO], now=NOW + timedelta(days=100)),
    )
    yield (
        "from-the-future",
        "statement-from-future",
        "P-27",
        "Dated 25 hours ahead.",
        _given([_ZERO], now=NOW - timedelta(hours=25)),
    )


def _forged() -> Iterator[Row]:
    _, one = _renewed()
    flipped = bytearray(_ZERO)
    at = _ZERO.index(b'"sig":"') + 10
    flipped[at] = ord("A") if flipped[at] != ord("A") else ord("B")
    yield (
        "signature-flipped",
        "root-unannounced",
        "P-23",
        "One letter of the signature.",
        _given([bytes(flipped)]),
    )
    thief = generate(Dice("thief"))
    stolen = msgspec.structs.replace(read_statement(one).statement, root=(public_of(thief),))
    yield (
        "thief-of-online-keys",
        "root-unannounced",
        "P-25",
        "Whoever has every online key still lacks the announced root key and signs with one of his own.",
        _given([_ZERO, sign_statement(stolen, [thief])], now=_LATER),
    )
    yield (
        "thief-of-online-keys-before-a-friend",
        "root-unannounced",
        "P-25",
        "The same, shown to a peer that holds statement 0: the first new statement is verified too.",
        _given([_ZERO, sign_statement(stolen, [thief])], now=_LATER, known=[_ZERO]),
    )
    spent = msgspec.structs.replace(read_statement(one).statement, root=(public_of(ALDER.keys.root),))
    yield (
        "thief-of-a-spent-root-key",
        "root-unannounced",
        "P-25",
        "The key of statement 0 signs statement 1.",
        _given([_ZERO, sign_statement(spent, [ALDER.keys.root])], now=_LATER),
    )
    both = msgspec.structs.replace(
        read_statement(one).statement, root=(public_of(thief), public_of(ALDER.keys.next_root)), threshold=1
    )
    yield (
        "announced-key-named-but-silent",
        "root-unannounced",
        "P-25",
        "The announced key is named, but only the thief's signs.",
        _given([_ZERO, sign_statement(both, [thief])], now=_LATER),
    )
    reused = _second(next=(digest(public_of(ALDER.keys.next_root)),))
    yield (
        "root-key-reused",
        "root-reused",
        "P-26",
        "It announces the key that signed it.",
        _given([_ZERO, reused], now=_LATER),
    )
    yield (
        "root-key-reused-at-once",
        "root-reused",
        "P-26",
        "Statement 0 announces its own key.",
        _given([reused_zero := _zero(next=(digest(_FIRST.root[0]),))], expected=_node(reused_zero)),
    )
    log = msgspec.structs.replace(_FIRST.log, vkey=_other_log().vkey)
    yield (
        "log-key-changed",
        "log-changed",
        "P-26",
        "Another log key in the same generation.",
        _given([_ZERO, _second(log=log)], now=_LATER),
    )
    skipped = msgspec.structs.replace(_other_log(), gen=3)
    yield (
        "log-generation-skipped",
        "log-changed",
        "P-26",
        "From generation 1 to 3.",
        _given([_ZERO, _second(log=skipped)], now=_LATER),
    )
    again = msgspec.structs.replace(_FIRST.log, gen=2)
    yield (
        "log-generation-with-the-old-key",
        "log-changed",
        "P-26",
        "A new generation must have a new key and name.",
        _given([_ZERO, _second(log=again)], now=_LATER),
    )
    renamed = msgspec.structs.replace(_other_log(), gen=2)
    public = public_of(ALDER.keys.log)
    renamed = msgspec.structs.replace(renamed, vkey=encode_vkey(renamed.origin, VKEY_ED25519, public))
    yield (
        "log-generation-with-the-old-key-under-a-new-name",
        "log-changed",
        "P-26",
        "A new name makes another verifier key of it; the thief has it all the same.",
        _given([_ZERO, _second(log=renamed)], now=_LATER),
    )
    yield from _signatures()
    yield from _borrowed()
    payload = read_statement(_ZERO).payload
    other_type = "application/vnd.example+json"
    message = b"DSSEv1 %d %s %d %s" % (len(other_type), other_type.encode(), len(payload), payload)
    yield (
        "signed-as-something-else",
        "root-unannounced",
        "P-23",
        "The signature is over another payload type.",
        _given([_dsse(payload, sign(ALDER.keys.root, message))]),
    )


def _borrowed() -> Iterator[Row]:
    """Birch's next log, under the name of Alder's. Who knows Alder does not take it."""
    good = read_statement(
        extend(
            list(BIRCH.identity.chain),
            root_private=BIRCH.keys.next_root,
            now=_LATER,
            rng=Dice("borrowed"),
            replace=["log"],
        )[1]
    ).statement
    key = decode_vkey(good.log.vkey).public
    origin = _FIRST.log.origin
    log = LogKey(gen=2, origin=origin, vkey=encode_vkey(origin, VKEY_ED25519, key))
    renewed = sign_statement(msgspec.structs.replace(good, log=log), [BIRCH.keys.next_root])
    given = _given([*BIRCH.identity.chain, renewed], expected=BIRCH.node_id, now=_LATER)
    yield (
        "log-under-anothers-name",
        "origin-taken",
        "P-251",
        "Birch names its log as Alder's.",
        given | {"others": [_ZERO]},
    )
    others = {"others": list(CEDAR.identity.chain)}
    yield "valid-beside-another", "ok", "P-251", "Cedar's log has another name.", _given([_ZERO]) | others


def _signatures() -> Iterator[Row]:
    """Of one key two signatures, or none that is sound; and what an earlier statement named."""
    envelope = msgspec.json.decode(_ZERO)
    (good,) = envelope["signatures"]
    bad = good | {"sig": base64.b64encode(bytes(64)).decode()}
    twice = msgspec.json.encode(envelope | {"signatures": [good, bad]}, order="sorted")
    malformed = "statement-malformed"
    yield (
        "signature-twice",
        malformed,
        "P-20",
        "Two of one key: readers disagree which counts.",
        _given([twice]),
    )
    stranger = good | {"keyid": "0" * 16}
    mixed = msgspec.json.encode(envelope | {"signatures": [good, stranger]}, order="sorted")
    yield "signatures-out-of-order", malformed, "P-20", "Descending.", _given([mixed])
    weak = STATEMENT.encode(msgspec.structs.replace(_FIRST, root=(SMALL_ORDER,)))
    signed = _dsse(weak, SMALL_ORDER + bytes(32), by=SMALL_ORDER)
    yield (
        "weak-root-key",
        "key-weak",
        "P-23",
        "A root key of small order: its signature fits every statement.",
        _given([signed], expected=_node(signed)),
    )
    absent = STATEMENT.encode(_FIRST).replace(b'"wit":', b'"void":null,"wit":')
    yield (
        "void-null",
        "not-canonical",
        "P-10",
        "A field that is absent is not null.",
        _given([_dsse(absent, bytes(64))]),
    )
    odd = _raw(log=msgspec.structs.replace(_FIRST.log, vkey=_FIRST.log.vkey.replace("+", "-")))
    good_one = read_statement(_renewed(replace=("log",))[1]).statement
    digest_ = hashlib.sha256(base64.b64decode(msgspec.json.decode(odd)["payload"])).digest()
    follows = sign_statement(msgspec.structs.replace(good_one, prev=digest_), [ALDER.keys.next_root])
    yield (
        "earlier-log-key-malformed",
        malformed,
        "P-20",
        "A generation that has ended, whose key nobody can read.",
        _given([odd, follows], expected=_node(odd), now=_LATER),
    )


def _fields() -> Iterator[Row]:
    def broken(name: str, expect: str, rule: str, comment: str, **changes: Any) -> Row:
        envelope = _raw(**changes)
        return name, expect, rule, comment, _given([envelope], expected=_node(envelope))

    http, enc = _FIRST.http[0], _FIRST.enc[0]
    weak = msgspec.structs.replace(http, pk=SMALL_ORDER, kid=kid(SMALL_ORDER))
    yield broken("weak-request-key", "key-weak", "P-28", "A request key of small order.", http=(weak,))
    low = enc.pk[:1184] + bytes(32)
    zero = msgspec.structs.replace(enc, pk=low, kid=kid(low))
    yield broken("weak-encryption-key", "key-weak", "P-15", "The X25519 half is zero.", enc=(zero,))
    high = b"\xff" * 1152 + enc.pk[1152:]
    wrong = msgspec.structs.replace(enc, pk=high, kid=kid(high))
    yield broken(
        "encryption-key-above-modulus",
        "statement-malformed",
        "P-15",
        "The ML-KEM half is no key.",
        enc=(wrong,),
    )
    shared = public_of(ALDER.keys.log)
    yield broken(
        "one-key-in-two-roles",
        "statement-malformed",
        "P-28",
        "The log's key signs requests too.",
        http=(msgspec.structs.replace(http, pk=shared, kid=kid(shared)),),
    )
    yield broken(
        "key-under-another-name",
        "statement-malformed",
        "P-14",
        "A kid that is not the key's hash.",
        http=(msgspec.structs.replace(http, kid="0" * 16),),
    )
    yield broken(
        "key-without-a-term",
        "statement-malformed",
        "P-20",
        "A key that ends when it begins.",
        http=(msgspec.structs.replace(http, nbf=http.exp),),
    )
    yield broken(
        "statement-without-a-term",
        "statement-malformed",
        "P-20",
        "A statement that ends when it begins.",
        exp=_FIRST.iat,
        http=(msgspec.structs.replace(http, exp=_FIRST.iat),),
        enc=(msgspec.structs.replace(enc, exp=_FIRST.iat),),
    )
    yield broken("term-of-101-days", "statement-malformed", "P-20", "Too long a term.", exp=_FIRST.exp + _DAY)
    yield broken(
        "key-outlives-statement",
        "statement-malformed",
        "P-20",
        "A key beyond its statement's term.",
        http=(msgspec.structs.replace(http, exp=_FIRST.exp + 1),),
    )
    yield broken("threshold-of-zero", "statement-malformed", "P-20", "Nobody needs to sign.", threshold=0)
    yield broken("threshold-unreachable", "statement-malformed", "P-20", "Two of one key.", threshold=2)
    yield broken(
        "address-with-password",
        "statement-malformed",
        "P-20",
        "An address with credentials in it.",
        urls=("https://user:secret@tocsin.alder.example",),
    )
    yield broken(
        "address-of-a-script",
        "statement-malformed",
        "P-20",
        "An address that is no web address.",
        urls=("javascript://alder.example",),
    )
    yield broken(
        "address-of-no-ipv6",
        "statement-malformed",
        "P-20",
        "Brackets around what is no IPv6 address: readers of URLs fail on it.",
        urls=("https://[:]",),
    )
    yield broken(
        "address-with-port-65536",
        "statement-malformed",
        "P-20",
        "A port beyond all ports.",
        urls=("https://tocsin.alder.example:65536",),
    )
    yield broken(
        "origin-of-another-key",
        "statement-malformed",
        "P-28",
        "The origin is not the name of the log's key.",
        log=msgspec.structs.replace(_FIRST.log, origin="alder.example/other"),
    )
    later = canon({"v": 2, "anything": True})
    yield (
        "version-2",
        "statement-unsupported",
        "P-20",
        "A statement of a later version.",
        _given([_dsse(later, bytes(64))]),
    )
    spaced = STATEMENT.encode(_FIRST).replace(b":", b": ", 1)
    yield (
        "not-canonical",
        "not-canonical",
        "P-20",
        "A space in the statement.",
        _given([_dsse(spaced, bytes(64))]),
    )
    yield "not-dsse", "not-canonical", "P-20", "Not JSON at all.", _given([b"statement"])
    typed = _ZERO.replace(b"vnd.tocsin.node", b"vnd.tocsin.evil")
    yield "payload-type-of-another", "statement-malformed", "P-20", "Another payload type.", _given([typed])


# Making statements --------------------------------------------------------------------------------------


def _older() -> bytes:
    """A statement 1 dated a day before statement 0."""
    iat = _FIRST.iat - _DAY
    good = read_statement(_renewed()[1]).statement
    http = tuple(msgspec.structs.replace(key, exp=_FIRST.exp - _DAY) for key in _FIRST.http)
    enc = tuple(msgspec.structs.replace(key, exp=min(key.exp, _FIRST.exp - _DAY)) for key in _FIRST.enc)
    old = msgspec.structs.replace(good, iat=iat, exp=_FIRST.exp - _DAY, http=http, enc=enc)
    return sign_statement(old, [ALDER.keys.next_root])


def _other_log() -> LogKey:
    return read_statement(_renewed(replace=("log",))[1]).statement.log


def _raw(**changes: Any) -> bytes:
    """A statement 0 with any fields, valid or not, signed by Alder's first root key."""
    payload = STATEMENT.encode(msgspec.structs.replace(_FIRST, **changes))
    kind = "application/vnd.tocsin.node+json"
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    return _dsse(payload, sign(ALDER.keys.root, message))


def _dsse(payload: bytes, signature: bytes, by: bytes = _FIRST.root[0]) -> bytes:
    fields = {
        "payload": payload,
        "payloadType": "application/vnd.tocsin.node+json",
        "signatures": [{"keyid": kid(by), "sig": signature}],
    }
    return msgspec.json.encode(fields, order="sorted")


def _node(envelope: bytes) -> str:
    """The NodeID that an envelope's payload gives, whatever it holds (written anew from PROTOCOL.md)."""
    payload = base64.b64decode(msgspec.json.decode(envelope)["payload"])
    digest_ = hashlib.sha256(b"tocsin/1/incept\x00" + payload).digest()
    return "n1" + base64.b32encode(digest_).decode().lower()[:52]
