"""Vectors for answers: acknowledgements of a report, and answers to a call; Birch answers Alder.

Whether Alder's log holds what is answered, and sealed it to Birch (`not-ours`), is not judged here.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec

from tocsin_federation.calls import ANSWER, CallAnswer, emergency_id
from tocsin_federation.messages import write_acknowledgement
from workshop.case import Case, Dice, Row, of
from workshop.cast import ALDER, BIRCH, NOW, REPORT_ID
from workshop.said import MS, header, refused_at_the_door

_REF = Dice("answered")(32)
_OTHER = REPORT_ID.replace("5ee", "6ee")
_ANSWER = CallAnswer(
    v=1,
    emergency=emergency_id(ALDER.node_id, "6f1d3c52-7a0e-4c5b-9f43-0b8f3c1f2a77"),
    report_id=REPORT_ID,
    ver=1,
    stage="rung",
    at=MS,
    revoked=False,
)


def cases() -> Iterator[Case]:
    """All vectors of both checks."""
    yield from of("acknowledgement", _acknowledged(), _acknowledged_ill(), _acknowledged_elsewhere())
    yield from of("answer", _answered(), _answered_ill(), _answered_elsewhere())


def _acknowledgement(content: bytes | None = None, **changes: Any) -> dict[str, Any]:
    first = write_acknowledgement(REPORT_ID, 3, NOW, revoked=False)
    return _given(first if content is None else content, **{"leaf": _leaf("ack", ver=3), **changes})


def _answer(content: bytes | None = None, **changes: Any) -> dict[str, Any]:
    first = ANSWER.encode(_ANSWER)
    return _given(first if content is None else content, **{"leaf": _leaf("answer"), **changes})


def _leaf(kind: Any, **changes: Any) -> bytes:
    return header(changes.pop("t", kind), BIRCH, ALDER, **{"ref": _REF, **changes})


def _given(content: bytes, **changes: Any) -> dict[str, Any]:
    return {
        "leaf": b"",
        "content": content,
        "peer": BIRCH.node_id,
        "active": True,
        "me": ALDER.node_id,
        **changes,
    }


def _acknowledged() -> Iterator[Row]:
    yield "valid", "ok", "P-85", "Somebody has seen version 3.", _acknowledgement()
    for state in ("taken", "resolved", "unanswered"):
        content = write_acknowledgement(REPORT_ID, 3, NOW, revoked=state == "taken", state=state)
        yield f"valid-{state}", "ok", "P-109", "What became of it.", _acknowledgement(content)
    yield "valid-muted", "ok", "P-110", "Nobody is called for two hours.", _acknowledgement(_muted())
    over = write_acknowledgement(REPORT_ID, 3, NOW, revoked=True, state="muted")
    yield "valid-muted-no-more", "ok", "P-110", "The mute is taken back.", _acknowledgement(over)
    escalated = write_acknowledgement(REPORT_ID, 3, NOW, revoked=False, state="escalated")
    yield "valid-escalated", "ok", "P-111", "Further people were called.", _acknowledgement(escalated)


def _muted(ms: int = 7_200_000) -> bytes:
    end = NOW + timedelta(hours=2)
    muted = write_acknowledgement(REPORT_ID, 3, NOW, revoked=False, state="muted", until=end)
    return muted.replace(str(MS + 7_200_000).encode(), str(MS + ms).encode())


def _acknowledged_ill() -> Iterator[Row]:
    first = write_acknowledgement(REPORT_ID, 3, NOW, revoked=False)
    taken = write_acknowledgement(REPORT_ID, 3, NOW, revoked=False, state="taken")
    endless = write_acknowledgement(REPORT_ID, 3, NOW, revoked=True, state="muted").replace(b"true", b"false")
    invalid, later = "content-invalid", "unsupported"
    for name, expect, rule, comment, content in (
        ("mute-without-end", invalid, "P-110", "A mute that never ends.", endless),
        ("mute-of-no-time", invalid, "P-110", "It ends when it begins.", _muted(0)),
        ("mute-for-years", invalid, "P-110", "31 days and a millisecond.", _muted(31 * 86_400_000 + 1)),
        (
            "mute-taken-back-with-an-end",
            invalid,
            "P-110",
            "What is over has no end to come.",
            _muted().replace(b"false", b"true"),
        ),
        ("end-of-no-mute", invalid, "P-110", "Only a mute has one.", _muted().replace(b"muted", b"taken")),
        ("state-in-version-1", invalid, "P-85", "v 1 has no state.", taken.replace(b'"v":2', b'"v":1')),
        ("no-state", invalid, "P-109", "v 2 without a state.", first.replace(b'"v":1', b'"v":2')),
        (
            "state-acknowledged",
            later,
            "P-109",
            "That is said with v 1.",
            taken.replace(b"taken", b"acknowledged"),
        ),
        (
            "state-not-known-yet",
            later,
            "P-109",
            "Kept and passed over.",
            taken.replace(b"taken", b"handed-over"),
        ),
        ("state-no-text", invalid, "P-109", "A state is a word.", taken.replace(b'"taken"', b"7")),
        ("version-3", later, "P-109", "Kept and passed over.", taken.replace(b'"v":2', b'"v":3')),
        ("names-a-person", invalid, "P-109", "It names nobody.", taken.replace(b'"rev', b'"by":"ada","rev')),
        ("not-canonical", invalid, "P-10", "A space at the end.", taken + b" "),
        (
            "too-large",
            invalid,
            "P-85",
            "More than 4 KiB.",
            taken.replace(b'"taken"', b'"' + b"t" * 4096 + b'"'),
        ),
    ):
        yield name, expect, rule, comment, _acknowledgement(content)


def _acknowledged_elsewhere() -> Iterator[Row]:
    yield from refused_at_the_door(
        _acknowledgement, lambda **c: _leaf("ack", **{"ver": 3, **c}), peer="Birch", other="answer"
    )
    mismatch = "inner-mismatch"
    other = write_acknowledgement(_OTHER, 3, NOW, revoked=False)
    yield "of-another-report", mismatch, "P-85", "The content is about another.", _acknowledgement(other)
    second = _acknowledgement(leaf=_leaf("ack", ver=2))
    yield "of-another-version", mismatch, "P-85", "The header says version 2.", second


def _answered() -> Iterator[Row]:
    yield "valid", "ok", "P-146", "The call rang.", _answer()
    for stage in ("stored", "acknowledged"):
        content = ANSWER.encode(msgspec.structs.replace(_ANSWER, stage=stage))
        yield f"valid-{stage}", "ok", "P-146", "How far it got.", _answer(content)
    said = msgspec.structs.replace(_ANSWER, stage="answered", said="not-affected")
    yield "valid-answered", "ok", "P-146", "In a drill: not affected.", _answer(ANSWER.encode(said))
    back = ANSWER.encode(msgspec.structs.replace(said, revoked=True))
    yield "valid-taken-back", "ok", "P-146", "That no longer holds.", _answer(back)


def _answered_ill() -> Iterator[Row]:
    good, invalid = ANSWER.encode(_ANSWER), "content-invalid"
    for name, expect, comment, content in (
        ("not-json", invalid, "The content is prose.", b"Yes!"),
        ("later-version", "unsupported", "A later version.", good.replace(b'"v":1', b'"v":2')),
        ("names-a-person", invalid, "It names nobody.", good.replace(b'"rev', b'"by":"ada","rev')),
        ("stage-of-none", invalid, "No stage that there is.", good.replace(b"rung", b"read")),
        (
            "word-without-its-stage",
            invalid,
            "It rang, and says more.",
            good.replace(b'"stage"', b'"said":"affected","stage"'),
        ),
        ("stage-without-its-word", invalid, "Answered, and not what.", good.replace(b"rung", b"answered")),
        ("too-large", invalid, "More than 4 KiB.", good.replace(b'"rung"', b'"' + b"r" * 4096 + b'"')),
    ):
        yield name, expect, "P-146", comment, _answer(content)


def _answered_elsewhere() -> Iterator[Row]:
    yield from refused_at_the_door(_answer, lambda **c: _leaf("answer", **c), peer="Birch", rule="P-147")
    other = ANSWER.encode(msgspec.structs.replace(_ANSWER, report_id=_OTHER))
    yield "of-another-report", "inner-mismatch", "P-147", "The content is about another.", _answer(other)
    second = _answer(leaf=_leaf("answer", ver=2))
    yield "of-another-version", "inner-mismatch", "P-147", "The header says version 2.", second
