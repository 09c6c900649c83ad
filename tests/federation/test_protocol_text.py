"""PROTOCOL.md and THREATS.md say what the code does: rules, codes, limits, examples and tests that exist."""

import json
import re
from pathlib import Path

import pytest

from tocsin_federation import (
    calls,
    canonical,
    checkpoint,
    circle,
    envelope,
    errors,
    frames,
    identity,
    messages,
    padding,
    peering,
    recall,
    receipt,
    request_auth,
    statement,
)
from tocsin_schema import remark

ROOT = Path(__file__).parents[2]
WING = ROOT / "federation"
TEXT = (WING / "PROTOCOL.md").read_text(encoding="utf-8")
THREATS = (WING / "THREATS.md").read_text(encoding="utf-8")
RULES = set(re.findall(r"^(?:- )?\[(P-\d+)\]", TEXT, re.MULTILINE))
VECTORS = {p: json.loads(p.read_text(encoding="utf-8")) for p in (WING / "vectors").glob("*/*.json")}


def plain(number: int) -> str:
    return f"{number:,}"


def test_every_rule_is_written_once():
    written = re.findall(r"^(?:- )?\[(P-\d+)\]", TEXT, re.MULTILINE)
    assert len(written) == len(set(written)) > 80


def test_every_rule_named_anywhere_exists():
    named = set(re.findall(r"P-\d+", TEXT + THREATS))
    for source in (WING / "tocsin_federation").glob("*.py"):
        named |= set(re.findall(r"P-\d+", source.read_text(encoding="utf-8")))
    named |= {vector["rule"] for vector in VECTORS.values()}
    assert named <= RULES, sorted(named - RULES)


def test_the_rules_of_each_numbered_check_are_in_its_code_too():
    """A check opens with its list and then marks each block with its number and rule."""
    for module, first, last in ((envelope, 60, 69), (identity, 20, 28), (request_auth, 50, 56)):
        source = Path(module.__file__).read_text(encoding="utf-8")
        for number, rule in enumerate(range(first, last + 1), start=1):
            assert re.search(rf"^ +{number}\. +\[P-{rule}\]", source, re.MULTILINE), rule
            assert re.search(rf"# \({number}\) P-{rule}$", source, re.MULTILINE), rule


def test_the_table_of_codes_is_complete():
    for name in (
        "AuditRefused", "CanonicalRefused", "KeyRefused", "IdentityRefused", "CheckpointRefused", "ProofRefused", "SealRefused",
        "CircleRefused", "EntryRefused", "LogBroken", "FramesRefused", "AuthRefused", "HandshakeRefused",
    ):  # fmt: skip
        kind = getattr(errors, name)
        (row,) = re.findall(rf"^\| `{name}` \| (.*) \|$", TEXT, re.MULTILINE)
        assert set(re.findall(r"`([a-z-]+)`", row)) == set(kind.reasons), name
        own = set(re.findall(r"`([a-z-]+)` \(own\)", row))
        assert own <= {code for code, reason in kind.reasons.items() if reason.fault == "ours"}, name


@pytest.mark.parametrize("kind", errors.FederationError.__subclasses__(), ids=lambda k: k.__name__)
def test_every_code_has_words_and_a_next_step(kind):
    for code, reason in kind.reasons.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)
        refusal = kind(code)
        assert (str(refusal), refusal.hint, refusal.fault) == (reason.message, reason.hint, reason.fault)
        assert reason.message.endswith(".")
        assert len(reason.hint) > 10
        assert refusal.outward in {kind.outward_code, "clock-skew"}
    with pytest.raises(KeyError):
        kind("no-such-code")


def test_refusals_by_rule_are_those_of_the_text():
    (sentence,) = re.findall(r"moves on\. (.*?) are refused", TEXT, re.DOTALL)
    by_rule = {code for code in errors.EntryRefused.reasons if errors.EntryRefused(code).by_policy}
    assert set(re.findall(r"`([a-z-]+)`", sentence)) == by_rule


@pytest.mark.parametrize(
    ("what", "numbers"),
    [
        ("JSON nesting", [canonical.MAX_DEPTH]),
        ("statement", [statement.MAX_STATEMENT_BYTES, statement.MAX_ENVELOPE_BYTES]),
        ("statements in a chain", [identity.MAX_CHAIN]),
        ("term of a statement", [statement.MAX_TERM_S // 86_400]),
        ("invite", [peering.MAX_INVITE_CHARS, peering.INVITE_TTL_MAX.days]),
        ("signed note", [checkpoint.MAX_NOTE_BYTES, checkpoint.MAX_SIGNATURES]),
        ("header (leaf)", [messages.MAX_LEAF_BYTES]),
        ("recipients of an entry", [messages.MAX_RECIPIENTS]),
        ("content", [padding.MAX_CONTENT_BYTES]),
        ("ciphertext", [frames.MAX_CT_BYTES]),
        ("wrap", [frames.MAX_WRAP_BYTES, 1168]),
        ("entries in one answer", [frames.MAX_FRAMES, frames.MAX_BODY_BYTES // 2**20]),
        ("acknowledgement", [messages.MAX_ACKNOWLEDGEMENT_BYTES]),
        (
            "call",
            [
                calls.MAX_CALL_BYTES,
                calls.MAX_REASON,
                calls.MAX_STEPS,
                calls.MAX_STEP_NAME,
                calls.MAX_STEP_TEXT,
            ],
        ),
        ("answer to a call", [calls.ANSWER.max_bytes]),
        ("recall", [recall.MAX_RECALL_BYTES, recall.MAX_REASON, messages.MAX_RECIPIENTS]),
        ("receipt", [receipt.MAX_RECEIPT_BYTES, receipt.MAX_ITEMS]),
        ("remark", [remark.MAX_BYTES, remark.MAX_TEXT]),
        (
            "manifest of a circle",
            [circle.MAX_MANIFEST_BYTES, circle.MAX_ENVELOPE_BYTES, circle.MAX_TERM_S // 86_400],
        ),
        ("epochs of a circle", [circle.MAX_EPOCHS, circle.MAX_FILE_BYTES]),
        ("members and admins of a circle", [circle.MAX_MEMBERS, circle.MAX_ADMINS]),
        ("a request's signature", [request_auth.MAX_SKEW_S, int(request_auth.NONCE_TTL.total_seconds())]),
        ("each signature header", [request_auth.MAX_HEADER_BYTES]),
    ],
)
def test_the_limits_are_the_codes(what, numbers):
    (row,) = re.findall(rf"^\| {re.escape(what)} \| (.*) \|$", TEXT, re.MULTILINE)
    for number in numbers:
        assert plain(number) in row, (what, number)


def test_the_largest_content_pads_to_the_largest_ciphertext():
    assert padding.padded_length(padding.MAX_CONTENT_BYTES + 5) + 16 == frames.MAX_CT_BYTES


def test_the_examples_are_the_vectors():
    def given(name: str) -> dict:
        return VECTORS[WING / "vectors" / f"{name}.json"]["given"]

    assert given("entry/valid")["leaf"]["utf8"] in TEXT
    assert given("checkpoint/valid")["note"]["utf8"] in TEXT
    assert given("invite/valid")["invite"] in TEXT
    request = given("request/valid")
    assert f"GET {request['path']}?{request['query']} HTTP/1.1" in TEXT
    for name, value in request["headers"].items():
        assert f"{name}: {value}" in TEXT
    examples = re.findall(r'^\{"at":\d+,"report_id".*\}', TEXT, re.MULTILINE)
    said = [messages.read_acknowledgement(each.encode()) for each in examples]
    assert [each.state for each in said] == ["acknowledged", "taken", "muted"]
    assert given("call/valid")["content"]["utf8"] in TEXT
    newest = given("circle/valid-next-epoch")["chain"][-1]["utf8"].encode()
    assert circle.read_manifest(newest).payload.decode() in TEXT
    (answer,) = re.findall(r'\{"at":.*"stage".*\}', TEXT)
    told, call = (
        calls.read_answer(answer.encode()),
        calls.read_call(given("call/valid")["content"]["utf8"].encode()),
    )
    assert told.emergency == calls.emergency_id(given("call/valid")["peer"], call.key)


def test_the_statement_shown_is_the_vectors_but_for_its_long_keys():
    from tocsin_federation.identity import verify_chain

    vector = VECTORS[WING / "vectors" / "identity" / "valid.json"]["given"]
    current = verify_chain([vector["chain"][0]["utf8"].encode()], expected=vector["expected"], now=None)
    (shown,) = re.findall(r'^\{"enc":\[\{"exp".*?\}$', TEXT, re.DOTALL | re.MULTILINE)
    document = json.loads(shown)
    whole = json.loads(statement.STATEMENT.encode(current.statement))
    for key, other in zip(document.pop("enc"), whole.pop("enc"), strict=False):
        assert other["pk"].startswith(key.pop("pk").removesuffix("…"))
        assert key == {name: value for name, value in other.items() if name != "pk"}
    assert document == whole


def test_what_the_threats_point_to_exists():
    for name in re.findall(r"`(vectors/[a-z0-9*./-]+)`", THREATS):
        assert list(WING.glob(name)), name
    for name in re.findall(r"`((?:test_)[a-z_]+\.py)`", THREATS):
        assert (ROOT / "tests" / "federation" / name).is_file(), name
    source = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests" / "federation").glob("*.py"))
    for name in re.findall(r"`(test_[a-z_]+)`", THREATS):
        assert f"def {name}(" in source, name
    assert set(re.findall(r"\[P-\d+", THREATS))
    for name in re.findall(r"`([a-z0-9-]+\.json)`", THREATS):
        assert list((WING / "vectors").glob(f"*/{name}")), name
