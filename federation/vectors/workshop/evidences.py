"""Vectors for `verify_evidence`: what convicts Alder of two pasts of one log, and what does not."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tocsin_federation.checkpoint import sign_checkpoint
from tocsin_federation.evidence import Evidence, write_evidence
from tocsin_federation.identity import extend
from tocsin_federation.merkle import past_proof, root_of
from tocsin_federation.statement import read_statement
from workshop.case import Case, Dice, Row, of
from workshop.cast import ALDER, BIRCH, NOW

_LEAVES: Final = [Dice(f"leaf {n}")(32) for n in range(12)]
_OTHER: Final = [Dice("another leaf")(32), *_LEAVES[1:]]
_LOG: Final = ALDER.identity.statement.log


def cases() -> Iterator[Case]:
    """All vectors of this check."""
    yield from of("evidence", _forks(), _malformed(), _nothing())


def _note(leaves: list[bytes], key: bytes = ALDER.keys.log, origin: str = _LOG.origin) -> bytes:
    return sign_checkpoint(origin, len(leaves), root_of(leaves), key)


def _evidence(**changes: Any) -> Evidence:
    """Five entries, and then twelve that begin otherwise."""
    whole = Evidence(
        v=1,
        kind="fork",
        chain=tuple(ALDER.identity.chain),
        held=_note(_LEAVES[:5]),
        offered=_note(_OTHER),
        path=tuple(past_proof(_OTHER, 5)),
    )
    return msgspec.structs.replace(whole, **changes)


def _given(
    evidence: Evidence | bytes | None = None, *, expected: str = ALDER.node_id, **changes: Any
) -> dict[str, Any]:
    whole = evidence if isinstance(evidence, bytes) else write_evidence(evidence or _evidence(**changes))
    return {"evidence": whole, "expected": expected}


def _forks() -> Iterator[Row]:
    yield "valid", "ok", "P-136", "5 entries, and 12 that begin otherwise.", _given()
    one = _given(offered=_note(_OTHER[:5]), path=())
    yield "valid-of-one-size", "ok", "P-136", "Two roots for 5 entries.", one
    swapped = _given(held=_note(_OTHER), offered=_note(_LEAVES[:5]))
    yield "valid-larger-first", "ok", "P-136", "The larger note was held first.", swapped
    perfect = _given(held=_note(_LEAVES[:8]), path=tuple(past_proof(_OTHER, 8)))
    yield "valid-perfect-tree", "ok", "P-136", "Of a past of 8 the first hash is its whole root.", perfect
    nothing = sign_checkpoint(_LOG.origin, 0, bytes(32), ALDER.keys.log)
    empty = _given(held=_note([]), offered=nothing, path=())
    yield "valid-of-nothing", "ok", "P-136", "Two roots for no entries.", empty
    chain = (*ALDER.identity.chain, _renewed()[1])
    yield "valid-of-an-ended-log", "ok", "P-135", "The log has ended since.", _given(chain=chain)


def _malformed() -> Iterator[Row]:
    good, code = write_evidence(_evidence()), "proof-malformed"
    for name, comment, raw in (
        ("empty", "Nothing.", b""),
        ("another-version", "A later form.", good.replace(b'"v":1}', b'"v":2}')),
        ("another-kind", "No fork.", good.replace(b'"kind":"fork"', b'"kind":"lies"')),
        (
            "field-unknown",
            "A field that nobody has defined.",
            good.replace(b'"kind"', b'"because":"x","kind"'),
        ),
        ("spare-space", "Not canonical.", good + b" "),
        ("path-of-109", "A hash too many.", write_evidence(_evidence(path=(bytes(32),) * 109))),
        ("hash-short", "31 bytes.", write_evidence(_evidence(path=(bytes(31),)))),
        ("chain-empty", "No statement.", write_evidence(_evidence(chain=()))),
    ):
        yield name, code, "P-136", comment, _given(raw)


def _nothing() -> Iterator[Row]:
    code, rule = "proof-mismatch", "P-136"
    grown = _given(offered=_note(_LEAVES), path=tuple(past_proof(_LEAVES, 5)))
    yield "grown", code, rule, "A log that only grew.", grown
    yield "the-same-twice", code, rule, "One head.", _given(offered=_note(_LEAVES[:5]), path=())
    spare = _given(offered=_note(_OTHER[:5]), path=(bytes(32),))
    yield "path-of-one-size", code, rule, "Of one size nothing leads anywhere.", spare
    cut = tuple(past_proof(_OTHER, 5)[:-1])
    yield "path-cut", code, rule, "A hash is missing.", _given(path=cut)
    yield "path-empty", code, rule, "Nothing is shown.", _given(path=())
    longer = (*past_proof(_OTHER, 5), bytes(32))
    yield "path-longer", code, rule, "A hash too many.", _given(path=longer)
    invented = (bytes(32), *past_proof(_OTHER, 5)[1:])
    yield "path-invented", code, rule, "It does not lead to the larger root.", _given(path=invented)
    begun = _given(held=sign_checkpoint(_LOG.origin, 0, bytes(32), ALDER.keys.log), path=())
    yield "from-nothing", code, rule, "A head without entries says nothing of later ones.", begun
    forged = _given(offered=_note(_OTHER, BIRCH.keys.log))
    yield "signed-by-another", "note-unsigned", "P-135", "Birch signed one of the two.", forged
    changed = _given(offered=_note(_OTHER).replace(b"\n12\n", b"\n13\n"))
    yield "changed", "bad-signature", "P-135", "Changed after it was signed.", changed
    other = _given(expected=BIRCH.node_id)
    yield "of-another-node", "wrong-node", "P-135", "Birch is to be convicted.", other
    key, later = _renewed()
    origin = read_statement(later).statement.log.origin
    two = _given(chain=(*ALDER.identity.chain, later), offered=_note(_OTHER, key, origin))
    yield "of-two-logs", "note-unsigned", "P-135", "Each generation is a log of its own.", two


def _renewed() -> tuple[bytes, bytes]:
    """The key of Alder's next log, and the statement that begins it."""
    keys, later = extend(
        list(ALDER.identity.chain),
        root_private=ALDER.keys.next_root,
        now=NOW,
        rng=Dice("the log again"),
        replace=["log"],
    )
    assert keys.log is not None
    return keys.log, later
