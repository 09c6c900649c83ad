"""Vectors for calls: what Birch is called to by Alder, about which report, and what she holds of it already.

`held` is the report as Birch holds it: `origin`, the version's `tlp`, `withdrawn`; null when nothing is held.
`standing` is the call that stands for the emergency: `content`, its bytes; null when there is none.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tocsin_federation.calls import CALL, Call, Step, emergency_id
from workshop.case import Case, Dice, Row, of
from workshop.cast import ALDER, BIRCH, CEDAR, REPORT_ID
from workshop.said import MS, header, refused_at_the_door

_REF = Dice("called about")(32)
_OTHER = REPORT_ID.replace("5ee", "6ee")
_STEP = Step(
    id="course-of-action--0b3f6a53-3c0f-4d2b-8a7e-5b6a7c8d9e0f",
    name="Stop the nightly scoring",
    description="Turn the schedule off, and let a person decide until further notice.",
)
_CALL = Call(
    v=1,
    key="6f1d3c52-7a0e-4c5b-9f43-0b8f3c1f2a77",
    report_id=REPORT_ID,
    ver=1,
    seq=1,
    state="declared",
    drill=False,
    reason="It goes on, and others run the same version.",
    since=MS,
    at=MS,
    steps=(_STEP,),
)
_UPDATED = {"seq": 2, "state": "updated", "reason": "Version 4.1 is affected too.", "at": MS + 60_000}
_OVER = {"seq": 3, "state": "stood-down", "reason": "Every copy is patched.", "at": MS + 120_000}
THEIRS: Mapping[str, Any] = {"origin": ALDER.node_id, "tlp": "amber", "withdrawn": False}


def cases() -> Iterator[Case]:
    """All vectors of this check."""
    yield from of("call", _valid(), _malformed(), _forbidden(), _out_of_turn())


def _header(**changes: Any) -> bytes:
    return header("call", ALDER, BIRCH, **{"ref": _REF, **changes})


def _content(**changes: Any) -> bytes:
    return CALL.encode(msgspec.structs.replace(_CALL, **changes))


def _given(content: bytes | None = None, *, leaf: bytes | None = None, **changes: Any) -> dict[str, Any]:
    standing = changes.pop("standing", None)
    return {
        "leaf": leaf or _header(),
        "content": _content() if content is None else content,
        "peer": ALDER.node_id,
        "active": True,
        "max_tlp_in": "amber",
        "me": BIRCH.node_id,
        "held": dict(THEIRS),
        "standing": None if standing is None else {"content": standing},
        **changes,
    }


def _valid() -> Iterator[Row]:
    yield "valid", "ok", "P-140", "Alder declares an emergency about a report of its own.", _given()
    named = _given() | {"emergency": emergency_id(ALDER.node_id, _CALL.key)}
    yield "valid-named", "ok", "P-141", "What the emergency is called everywhere.", named
    drill = _content(drill=True)
    yield "valid-drill", "ok", "P-140", "A drill.", _given(drill)
    update = _content(**_UPDATED)
    yield "valid-update", "ok", "P-144", "The second call.", _given(update, standing=_content())
    over = _content(**_OVER)
    yield (
        "valid-stood-down",
        "ok",
        "P-144",
        "The last call, the second never came.",
        _given(over, standing=_content()),
    )
    gone = dict(THEIRS) | {"withdrawn": True}
    yield "valid-stood-down-withdrawn", "ok", "P-142", "Its report was withdrawn.", _given(over, held=gone)
    milder = dict(THEIRS) | {"tlp": "green"}
    yield "valid-stricter", "ok", "P-143", "Marked more strictly than the report.", _given(held=milder)
    yield "valid-again", "ok", "P-144", "The very call that is held.", _given(standing=_content())
    yield "valid-without-steps", "ok", "P-140", "It asks for nothing.", _given(_content(steps=()))
    bare = _content(steps=(msgspec.structs.replace(_STEP, description=""),))
    yield "valid-step-in-few-words", "ok", "P-140", "A step without a description.", _given(bare)
    late = _given(_content(), standing=update)
    yield "valid-late", "ok", "P-144", "The first call comes after the second: superseded.", late


def _malformed() -> Iterator[Row]:
    yield "not-json", "content-invalid", "P-140", "The content is prose.", _given(b"Help!")
    late = CALL.encode(_CALL).replace(b'"v":1,', b"").replace(b'"ver":1', b'"v":2,"ver":1')
    yield "later-version", "unsupported", "P-140", "A call of a version to come.", _given(late)
    extra = _content().replace(b'{"at"', b'{"all":true,"at"')
    yield "unknown-field", "content-invalid", "P-140", "A field that the form does not name.", _given(extra)
    first = _content().replace(b'"seq":1', b'"seq":2')
    yield "declared-twice", "content-invalid", "P-140", "The second call declares again.", _given(first)
    none = _content(steps=()).replace(b'"v":1', b'"steps":[],"v":1')
    yield "steps-empty", "content-invalid", "P-10", "What may be absent is not empty.", _given(none)
    step = msgspec.json.encode(_STEP, order="sorted")
    twice = _content().replace(step, step + b"," + step)
    yield "step-twice", "content-invalid", "P-140", "One step stands there twice.", _given(twice)
    flood = _content(
        steps=tuple(msgspec.structs.replace(_STEP, id=_STEP.id[:-2] + f"{n:02}") for n in range(21))
    )
    yield "too-many-steps", "content-invalid", "P-140", "21 steps.", _given(flood)


def _forbidden() -> Iterator[Row]:
    yield from refused_at_the_door(_given, _header, peer="Alder")
    other = _content(report_id=_OTHER)
    yield "of-another-report", "inner-mismatch", "P-81", "The content is about another report.", _given(other)
    version = _content(ver=2)
    yield "of-another-version", "inner-mismatch", "P-81", "The content is about version 2.", _given(version)
    yield "above-the-ceiling", "above-ceiling", "P-83", "AMBER from a GREEN peer.", _given(max_tlp_in="green")
    yield "of-nothing", "unknown-report", "P-142", "Birch does not hold the report.", _given(held=None)
    unheard = dict(THEIRS) | {"tlp": None}
    yield "of-no-version", "unknown-report", "P-142", "Birch never held that version.", _given(held=unheard)
    foreign = dict(THEIRS) | {"origin": CEDAR.node_id}
    yield "about-anothers-report", "not-owner", "P-142", "The report is Cedar's.", _given(held=foreign)
    ours = dict(THEIRS) | {"origin": BIRCH.node_id}
    yield "about-our-report", "not-owner", "P-142", "The report is Birch's own.", _given(held=ours)
    stricter = dict(THEIRS) | {"tlp": "amber+strict"}
    yield "marked-more-mildly", "marking-looser", "P-143", "AMBER on AMBER+STRICT.", _given(held=stricter)
    gone = dict(THEIRS) | {"withdrawn": True}
    yield (
        "about-a-withdrawn-report",
        "already-withdrawn",
        "P-142",
        "The report was withdrawn.",
        _given(held=gone),
    )


def _out_of_turn() -> Iterator[Row]:
    first, update, over = _content(), _content(**_UPDATED), _content(**_OVER)
    drill = _content(drill=True, **_UPDATED)
    yield (
        "earnest-becomes-drill",
        "call-changed",
        "P-144",
        "The emergency becomes a drill.",
        _given(drill, standing=first),
    )
    earnest = _given(update, standing=_content(drill=True))
    yield "drill-becomes-earnest", "call-changed", "P-144", "The drill becomes earnest.", earnest
    moved = _given(update, standing=_content(report_id=_OTHER))
    yield "moved-to-another-report", "call-changed", "P-144", "It was about another report.", moved
    again = _content(**_UPDATED | {"reason": "All is well."})
    yield (
        "two-of-one-count",
        "version-conflict",
        "P-144",
        "Another second call.",
        _given(again, standing=update),
    )
    revived = _content(**_UPDATED | {"seq": 4})
    yield "revived", "already-stood-down", "P-144", "It was stood down.", _given(revived, standing=over)
