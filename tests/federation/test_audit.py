"""The form of an audit log and its verification, without a node: what holds, and each way in which it does not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import cache

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from tests.federation.nodes import A_KEYS, B_KEYS, NOW, A, B, Rng

from tocsin_federation.audit import (
    EXPORT_HEAD,
    LEAF,
    LINE,
    ExportHead,
    Leaf,
    Line,
    Reader,
    audit_origin,
    audit_vkey,
    commitment,
    open_audit_note,
    read_export_head,
    sign_audit,
    time_text,
)
from tocsin_federation.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from tocsin_federation.errors import AuditRefused, CheckpointRefused, FederationError
from tocsin_federation.identity import extend
from tocsin_federation.merkle import Frontier, leaf_hash

SALT = b"sixteen bytes..."
ORIGIN = A.statement.log.origin


def line(seq: int, **other: object) -> Line:
    facts = {"who": "person:Ann", "via": "token:desk", "action": "report.read", "detail": {"ver": seq}}
    leaf = Leaf(
        v=1, seq=seq, at=time_text(NOW), object=commitment(SALT, f"report:{seq}"), **{**facts, **other}
    )
    return Line(leaf=leaf, object=f"report:{seq}", salt=SALT)


@cache
def lines(count: int = 9) -> list[bytes]:
    return [LINE.encode(line(seq)) for seq in range(count)]


def tree(count: int) -> Frontier:
    frontier = Frontier()
    frontier.extend(leaf_hash(LEAF.encode(line(seq).leaf)) for seq in range(count))
    return frontier


def head(count: int = 9) -> Checkpoint:
    return Checkpoint(audit_origin(ORIGIN), count, tree(count).root())


def read(raws: list[bytes], signed: Checkpoint | None = None, *before: Checkpoint) -> None:
    reader = Reader(signed or head(), before)
    for raw in raws:
        reader.take(raw)
    reader.finish()


def code_of(raws: list[bytes], signed: Checkpoint | None = None, *before: Checkpoint) -> str:
    with pytest.raises(AuditRefused) as refused:
        read(raws, signed, *before)
    return refused.value.code


@pytest.mark.parametrize("before", range(10))
def test_a_whole_log_holds_against_itself_and_against_whatever_was_signed_before(before):
    read(lines(), head(), head(before))


def test_what_is_changed_missing_moved_or_added_is_refused_by_its_code():
    raws = lines()
    assert code_of([]) == "audit-truncated"
    assert code_of(raws[:-1]) == "audit-truncated"
    assert code_of([*raws, LINE.encode(line(9))]) == "audit-too-long"
    assert code_of(raws[:3] + raws[4:]) == "audit-line-missing"
    assert code_of(raws[:4] + raws[3:]) == "audit-line-missing"
    assert code_of([raws[1], raws[0], *raws[2:]]) == "audit-line-missing"
    assert code_of([*raws[:3], LINE.encode(line(3, who="person:Eve")), *raws[4:]]) == "audit-root-differs"
    assert code_of([*raws[:3], raws[3] + b" ", *raws[4:]]) == "audit-line-malformed"
    other = Line(leaf=line(3).leaf, object="report:8", salt=SALT)
    assert code_of([*raws[:3], LINE.encode(other), *raws[4:]]) == "audit-object-differs"
    half = Line(leaf=line(3).leaf, object="report:3")
    assert code_of([*raws[:3], LINE.encode(half), *raws[4:]]) == "audit-object-differs"


def test_a_past_that_was_signed_otherwise_is_found_out_even_when_the_log_is_sound_in_itself():
    changed = replace(head(5), root=head(4).root)
    assert code_of(lines(), head(), changed) == "audit-rewritten"
    assert code_of(lines(), head(), replace(head(0), root=b"\1" * 32)) == "audit-rewritten"
    assert code_of(lines(4), head(4), head(9)) == "audit-rolled-back"


def test_a_line_holds_without_the_name_of_what_it_was_about():
    forgotten = Line(leaf=line(3).leaf)
    raws = lines()
    read([*raws[:3], LINE.encode(forgotten), *raws[4:]])
    assert b"report:3" not in LINE.encode(forgotten)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_byte_of_any_line_can_be_changed(data):
    raws = list(lines())
    nth = data.draw(st.integers(0, len(raws) - 1))
    at = data.draw(st.integers(0, len(raws[nth]) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != raws[nth][at]))
    raws[nth] = raws[nth][:at] + bytes([byte]) + raws[nth][at + 1 :]
    assert code_of(raws)


def test_its_notes_and_those_of_the_log_cannot_be_taken_for_each_other():
    note = sign_audit(ORIGIN, tree(9), A_KEYS.log)
    assert open_audit_note(note, A.statements) == head()
    with pytest.raises(CheckpointRefused):
        open_checkpoint(note, A.statement.log.vkey)
    other = sign_checkpoint(ORIGIN, 9, head().root, A_KEYS.log)
    with pytest.raises(CheckpointRefused):
        open_audit_note(other, A.statements)
    assert open_checkpoint(note, audit_vkey(A.statement.log.vkey)).origin == ORIGIN + "/audit"


def test_a_note_by_another_node_is_refused():
    with pytest.raises(CheckpointRefused) as refused:
        open_audit_note(sign_audit(ORIGIN, tree(3), B_KEYS.log), A.statements)
    assert refused.value.code == "note-unsigned"


def test_notes_of_before_a_key_was_changed_still_count():
    later = NOW + timedelta(days=1)
    made, statement = extend(
        A.chain, root_private=A_KEYS.next_root, now=later, rng=Rng("x"), replace=("log",)
    )
    chain = [*A.chain, statement]
    raw = EXPORT_HEAD.encode(ExportHead(audit=1, chain=chain, note=_text(9, made.log, chain)))
    identity, signed = read_export_head(raw, expected=A.node_id)
    before = open_audit_note(sign_audit(ORIGIN, tree(4), A_KEYS.log), identity.statements)
    read(lines(), signed, before)


def _text(count: int, private: bytes, chain: list[bytes]) -> str:
    from tocsin_federation.identity import verify_chain

    origin = verify_chain(chain, expected=None, now=None).statement.log.origin
    return sign_audit(origin, tree(count), private).decode()


def test_an_export_of_another_node_than_the_one_expected_is_refused():
    note = sign_audit(ORIGIN, tree(9), A_KEYS.log).decode()
    raw = EXPORT_HEAD.encode(ExportHead(audit=1, chain=list(A.chain), note=note))
    assert read_export_head(raw, expected=A.node_id)[1] == head()
    for bad, code in ((b"", "audit-head-malformed"), (raw + b" ", "audit-head-malformed")):
        with pytest.raises(AuditRefused) as refused:
            read_export_head(bad)
        assert refused.value.code == code
    with pytest.raises(FederationError):
        read_export_head(raw, expected=B.node_id)


def test_times_are_written_in_utc_with_milliseconds():
    at = datetime(2026, 11, 29, 17, 5, 0, 123_999, timezone(timedelta(hours=1)))
    assert time_text(at) == "2026-11-29T16:05:00.123Z"
    assert time_text(at.astimezone(UTC)) == time_text(at)
