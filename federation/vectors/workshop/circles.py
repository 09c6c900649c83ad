"""Vectors for circles: chains of manifests, and entries addressed to a circle.

The admins Ann, Bob and Cay sign for Alder, Birch and Cedar; two of the three must. Mallory is nobody's admin.
"""

import base64
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from tocsin_federation.circle import (
    MANIFEST,
    PAYLOAD_TYPE,
    Manifest,
    draft,
    read_manifest,
    sign_manifest,
)
from tocsin_federation.dsse import pae
from tocsin_federation.keys import generate, kid, public_of, sign
from tocsin_federation.messages import Audience
from tocsin_federation.statement import PAYLOAD_TYPE as STATEMENT_TYPE
from tocsin_schema.marking import Tlp
from workshop.case import Case, Dice, Row, of
from workshop.cast import ALDER, BIRCH, CEDAR, NOW
from workshop.said import header

ANN, BOB, CAY, DAN, EVE, MALLORY = (generate(Dice(f"admin {n}")) for n in "abcdem")
_IAT: Final = int(NOW.timestamp()) - 3600
_ALL = (ALDER.node_id, BIRCH.node_id, CEDAR.node_id)
_WEAK = bytes([1]) + bytes(31)  # the neutral element: one signature fits every message


def cases() -> Iterator[Case]:
    """All vectors of both checks."""
    yield from of("circle", _valid(), _unsigned(), _broken(), _malformed(), _held())
    yield from of("addressed", _addressed())


def _manifest(before: bytes | None = None, **changes: Any) -> Manifest:
    was = read_manifest(before) if before is not None else None
    fields: dict[str, Any] = {
        "v": 1,
        "epoch": 0,
        "name": "Vigil",
        "members": tuple(sorted(_ALL)),
        "admins": _admins(ANN, BOB, CAY),
        "threshold": 2,
        "max_tlp": Tlp.AMBER,
        "iat": _IAT,
        "exp": _IAT + 90 * 86_400,
    }
    if was is not None:
        fields |= {
            name: getattr(was.manifest, name) for name in ("members", "admins", "threshold", "max_tlp")
        }
        circle = was.manifest.circle or was.digest
        fields |= {"circle": circle, "epoch": was.manifest.epoch + 1, "prev": was.digest, "iat": _IAT + 60}
    return Manifest(**fields | changes)


def _admins(*private: bytes) -> tuple[bytes, ...]:
    return tuple(sorted(map(public_of, private)))


def _signed(manifest: Manifest, *by: bytes) -> bytes:
    raw = draft(manifest)
    for key in by:
        raw = sign_manifest(raw, key)
    return raw


FIRST: Final = _signed(_manifest(), ANN, BOB)
SECOND: Final = _signed(_manifest(FIRST, members=tuple(sorted(_ALL[:2]))), BOB, CAY)
HIDDEN: Final = _signed(_manifest(v=2, roster="hidden"), ANN, BOB)
RIVAL: Final = _signed(_manifest(FIRST, members=tuple(sorted(_ALL[1:]))), ANN, BOB)
UNSIGNED: Final = _signed(_manifest(FIRST), CAY)
WITHOUT_BIRCH: Final = _signed(_manifest(members=(ALDER.node_id,)), ANN, BOB)


def _given(*chain: bytes, held: tuple[bytes, ...] = (), now: datetime = NOW) -> dict[str, Any]:
    return {"chain": list(chain), "held": list(held), "now": now}


def _valid() -> Iterator[Row]:
    yield "valid", "ok", "P-200", "A circle of three.", _given(FIRST)
    yield "valid-next-epoch", "ok", "P-203", "Cedar is taken out.", _given(FIRST, SECOND, held=(FIRST,))
    changed = _manifest(FIRST, admins=_admins(CAY, DAN, EVE), threshold=3)
    both = _signed(changed, ANN, BOB, CAY, DAN, EVE)
    yield "valid-new-admins", "ok", "P-203", "Two of the old and all of the new signed.", _given(FIRST, both)
    yield "valid-hidden", "ok", "P-218", "Its members do not see each other.", _given(HIDDEN)
    empty = _signed(_manifest(FIRST, members=()), ANN, BOB)
    yield "valid-nobody", "ok", "P-200", "No members: that is nobody, not everybody.", _given(FIRST, empty)
    more = sign_manifest(FIRST, CAY)
    yield (
        "valid-further-signature",
        "ok",
        "P-204",
        "The same manifest, signed once more.",
        _given(more, held=(FIRST,)),
    )


def _unsigned() -> Iterator[Row]:
    code, rule = "circle-unsigned", "P-203"
    yield "signed-by-nobody", code, rule, "A draft.", _given(draft(_manifest()))
    yield "signed-by-too-few", code, rule, "One of two.", _given(_signed(_manifest(), ANN))
    once = _manifest(FIRST)
    yield "signed-below-threshold", code, rule, "A rogue admin alone.", _given(FIRST, UNSIGNED)
    changed = _manifest(FIRST, admins=_admins(CAY, DAN, EVE), threshold=2)
    old, new = _signed(changed, ANN, BOB), _signed(changed, DAN, EVE)
    yield "signed-by-old-admins-alone", code, rule, "The new ones did not agree.", _given(FIRST, old)
    yield "signed-by-new-admins-alone", code, rule, "A take-over.", _given(FIRST, new)
    outside = _signed(once, ANN, MALLORY)
    yield "signed-by-a-stranger", code, rule, "Mallory is no admin.", _given(FIRST, outside)
    lower = _signed(_manifest(FIRST, threshold=1), CAY)
    yield "signed-by-its-own-lower-threshold", code, rule, "It asks for one itself.", _given(FIRST, lower)
    yield "signed-as-a-statement", code, rule, "A signature over another type.", _given(_as_statement())
    weak = _manifest(admins=tuple(sorted((_WEAK, *_admins(ANN, BOB)))), threshold=2)
    yield "admin-weak", "key-weak", rule, "A key that signs everything.", _given(_signed(weak, ANN, BOB))


def _as_statement() -> bytes:
    """The bytes of a manifest, signed as if they were a node's statement."""
    payload = MANIFEST.encode(_manifest())
    message = pae(STATEMENT_TYPE, payload)
    signatures = sorted(
        ({"keyid": kid(public_of(key)), "sig": _b64(sign(key, message))} for key in (ANN, BOB)),
        key=lambda s: s["keyid"],
    )
    return _envelope(payload, signatures)


def _envelope(payload: bytes, signatures: list[dict[str, str]], kind: str = PAYLOAD_TYPE) -> bytes:
    fields = {"payload": _b64(payload), "payloadType": kind, "signatures": signatures}
    return msgspec.json.encode(fields, order="sorted")


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _broken() -> Iterator[Row]:
    code, rule = "circle-broken", "P-202"
    skipped = _signed(_manifest(FIRST, epoch=2), ANN, BOB)
    yield "epoch-skipped", code, rule, "0, then 2.", _given(FIRST, skipped)
    yield "epoch-repeated", code, rule, "0, 1, then 1.", _given(FIRST, SECOND, SECOND)
    shown = _signed(_manifest(HIDDEN), ANN, BOB)
    yield (
        "hidden-then-shown",
        code,
        "P-218",
        "A later epoch would show who was hidden.",
        _given(HIDDEN, shown),
    )
    yield "first-missing", code, rule, "It begins with epoch 1.", _given(SECOND)
    prev = _signed(_manifest(FIRST, prev=bytes(32)), ANN, BOB)
    yield "prev-of-another", code, rule, "It follows another manifest.", _given(FIRST, prev)
    other = _signed(_manifest(FIRST, circle=bytes(32)), ANN, BOB)
    yield "circle-of-another", code, rule, "It is of another circle.", _given(FIRST, other)
    early = _signed(_manifest(FIRST, iat=_IAT - 1), ANN, BOB)
    yield "dated-before", code, rule, "It is dated before the one it follows.", _given(FIRST, early)
    yield "chain-empty", "circle-too-long", "P-201", "No manifest.", _given()
    yield (
        "chain-of-257",
        "circle-too-long",
        "P-201",
        "More epochs than there may be.",
        _given(*[FIRST] * 257),
    )
    late = NOW + timedelta(days=91)
    yield "expired", "circle-expired", "P-205", "91 days later.", _given(FIRST, now=late)
    ahead = _signed(_manifest(iat=_IAT + 2 * 86_400), ANN, BOB)
    yield "from-the-future", "circle-from-future", "P-205", "Dated two days ahead.", _given(ahead)


def _malformed() -> Iterator[Row]:
    code, rule = "circle-malformed", "P-200"
    payload = MANIFEST.encode(_manifest())

    def changed(before: bytes, after: bytes) -> dict[str, Any]:
        assert before in payload, before
        return _given(_envelope(payload.replace(before, after, 1), []))

    yield "spaced", code, rule, "A space after a colon.", changed(b'"epoch":', b'"epoch": ')
    yield (
        "field-unknown",
        code,
        rule,
        "A field that nobody has defined.",
        changed(b'"exp"', b'"everybody":1,"exp"'),
    )
    yield (
        "red",
        code,
        rule,
        "TLP:RED goes to nobody by a circle.",
        changed(b'"max_tlp":"amber"', b'"max_tlp":"red"'),
    )
    yield "threshold-out-of-reach", code, rule, "Four of three.", changed(b'"threshold":2', b'"threshold":4')
    yield "threshold-nought", code, rule, "Nobody need sign.", changed(b'"threshold":2', b'"threshold":0')
    yield "term-too-long", code, rule, "Beyond 400 days.", _given(_envelope(_longer(payload), []))
    first, second, third = sorted(_ALL)
    twice = f'"{first}","{first}","{second}","{third}"'.encode()
    names = f'"{first}","{second}","{third}"'.encode()
    yield "member-twice", code, rule, "A member stands there twice.", changed(names, twice)
    keys = [_b64(key) for key in _admins(ANN, BOB, CAY)]
    one = f'"{keys[0]}"'.encode()
    yield "admin-twice", code, rule, "An admin's key stands there twice.", changed(one, one + b"," + one)
    signature = {"keyid": kid(public_of(ANN)), "sig": _b64(sign(ANN, pae(PAYLOAD_TYPE, payload)))}
    doubled = _envelope(payload, [signature, signature])
    yield "signature-twice", code, rule, "One signature, to be counted as two.", _given(doubled)
    yield (
        "of-another-type",
        code,
        rule,
        "A node's statement is no manifest.",
        _given(_envelope(payload, [], STATEMENT_TYPE)),
    )
    yield "not-json", code, rule, "No JSON.", _given(b"\x00")
    later = payload.replace(b'"v":1', b'"v":3')
    yield "version-3", "circle-unsupported", rule, "A later version.", _given(_envelope(later, []))
    open_ = payload.replace(b'"v":1', b'"v":2')
    yield (
        "hidden-not-said",
        code,
        "P-218",
        "Version 2 hides its members, and says so.",
        _given(_envelope(open_, [])),
    )
    early = payload.replace(b'"threshold"', b'"roster":"hidden","threshold"')
    yield (
        "hidden-in-version-1",
        code,
        "P-218",
        "An older program would send it on.",
        _given(_envelope(early, [])),
    )


def _longer(payload: bytes) -> bytes:
    exp = f'"exp":{_IAT + 90 * 86_400}'.encode()
    assert exp in payload
    return payload.replace(exp, f'"exp":{_IAT + 401 * 86_400}'.encode())


def _held() -> Iterator[Row]:
    rule = "P-204"
    other = _signed(_manifest(name="Another"), ANN, BOB)
    yield (
        "another-circle",
        "wrong-circle",
        rule,
        "The chain of another circle.",
        _given(other, held=(FIRST,)),
    )
    forked = _given(FIRST, RIVAL, held=(FIRST, SECOND))
    yield "two-of-one-epoch", "circle-forked", rule, "The admins signed two.", forked
    stale = _given(FIRST, held=(FIRST, SECOND))
    yield "older-than-held", "circle-stale", rule, "Cedar shows the epoch it was in.", stale


def _addressed() -> Iterator[Row]:
    def given(**changes: Any) -> dict[str, Any]:
        fields = {
            "chain": [FIRST, SECOND],
            "leaf": _leaf(),
            "me": BIRCH.node_id,
            "frozen_at": None,
            "ended_at": None,
            "logged_by": None,
        }
        return fields | changes

    circle = read_manifest(FIRST).digest
    late, hour = NOW + timedelta(hours=1, seconds=1), NOW + timedelta(hours=1)
    yield "valid", "ok", "P-212", "From Alder to the circle, in its newest epoch.", given()
    yield "valid-late", "ok", "P-213", "Logged an hour after.", given(ended_at=NOW, logged_by=hour)
    yield "circle-unknown", "circle-awaited", "P-212", "Birch knows no such circle.", given(chain=[])
    ahead = _leaf(aud=Audience(circle=circle, epoch=2, cseq=1))
    yield "epoch-unknown", "circle-awaited", "P-212", "An epoch ahead of what Birch knows.", given(leaf=ahead)
    yield "reader-no-member", "not-member", "P-212", "Cedar was taken out.", given(me=CEDAR.node_id)
    theirs = _leaf(by=CEDAR.node_id)
    yield "author-no-member", "not-member", "P-212", "Cedar goes on writing.", given(leaf=theirs)
    high = _leaf(tlp=Tlp.AMBER_STRICT)
    yield "above-the-circle", "above-circle", "P-212", "The circle shares up to AMBER.", given(leaf=high)
    yield "frozen", "circle-frozen", "P-208", "Two manifests of epoch 1 are known.", given(frozen_at=1)
    ended = given(ended_at=NOW, logged_by=late)
    yield "logged-too-late", "epoch-ended", "P-213", "Logged an hour and a second after.", ended


def _leaf(**changes: Any) -> bytes:
    place = Audience(circle=read_manifest(FIRST).digest, epoch=1, cseq=1)
    return header("publish", ALDER, BIRCH, **{"aud": place, **changes})
